"""Commands that act on one or more containers: stop, kill, rm, rename and their like."""

import sys

import click

from moorage.api import endpoints
from moorage.api.containers import (
    ContainerDeleteQuery,
    ContainerKillQuery,
    ContainerRenameQuery,
    ContainerStopQuery,
    ContainerTopQuery,
)
from moorage.api.endpoint import Endpoint, NoBody
from moorage.api.host_config import RestartPolicy, UpdateRequest
from moorage.api.query import NoQuery
from moorage.cli.grammar import Command, daemon_error
from moorage.cli.quantities import BYTES, CPUS, INTEGER, SWAP
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import tabbed
from moorage.client.calls import call
from moorage.client.steps import restart_policy
from moorage.errors import InvalidParameterError, MoorageError


class NothingToUpdateError(InvalidParameterError):
    """``update`` was given no flag."""

    def __init__(self) -> None:
        super().__init__("you must provide one or more flags when using this command")


class NamesError(InvalidParameterError):
    """The names for ``rename`` are none."""


class PortNotPublishedError(InvalidParameterError):
    """The container does not publish the port."""


@click.command(cls=Command, usage="[OPTIONS] CONTAINER [CONTAINER...]", minimum=1)
@click.option("-s", "--signal", default="", help="Signal to send to the container")
@click.option("-t", "--timeout", "--time", "timeout", type=INTEGER, help="Seconds to wait before killing the container")
@click.argument("containers", nargs=-1)
@pass_session
def stop(session: Session, /, containers: tuple[str, ...], *, signal: str, timeout: int | None) -> None:
    """Stop one or more running containers."""
    _stop_or_restart(session, endpoints.CONTAINER_STOP, containers, ContainerStopQuery(signal=signal, t=timeout))


@click.command(cls=Command, usage="[OPTIONS] CONTAINER [CONTAINER...]", minimum=1)
@click.option("-s", "--signal", default="", help="Signal to send to the container")
@click.option("-t", "--timeout", "--time", "timeout", type=INTEGER, help="Seconds to wait before killing the container")
@click.argument("containers", nargs=-1)
@pass_session
def restart(session: Session, /, containers: tuple[str, ...], *, signal: str, timeout: int | None) -> None:
    """Restart one or more containers."""
    _stop_or_restart(session, endpoints.CONTAINER_RESTART, containers, ContainerStopQuery(signal=signal, t=timeout))


def _stop_or_restart(
    session: Session,
    endpoint: Endpoint[ContainerStopQuery, NoBody, None],
    containers: tuple[str, ...],
    query: ContainerStopQuery,
) -> None:
    def one(name: str) -> str:
        session.perform(call(endpoint, path={"id": name}, query=query))
        return name

    session.for_each(containers, one)


@click.command(cls=Command, usage="[OPTIONS] CONTAINER [CONTAINER...]", minimum=1)
@click.option("-s", "--signal", default="", help="Signal to send to the container")
@click.argument("containers", nargs=-1)
@pass_session
def kill(session: Session, /, containers: tuple[str, ...], *, signal: str) -> None:
    """Kill one or more running containers."""

    def one(name: str) -> str:
        session.perform(call(endpoints.CONTAINER_KILL, path={"id": name}, query=ContainerKillQuery(signal=signal)))
        return name

    session.for_each(containers, one)


@click.command(cls=Command, usage="CONTAINER [CONTAINER...]", minimum=1)
@click.argument("containers", nargs=-1)
@pass_session
def pause(session: Session, /, containers: tuple[str, ...]) -> None:
    """Pause all processes within one or more containers."""
    _plain(session, endpoints.CONTAINER_PAUSE, containers)


@click.command(cls=Command, usage="CONTAINER [CONTAINER...]", minimum=1)
@click.argument("containers", nargs=-1)
@pass_session
def unpause(session: Session, /, containers: tuple[str, ...]) -> None:
    """Unpause all processes within one or more containers."""
    _plain(session, endpoints.CONTAINER_UNPAUSE, containers)


def _plain(session: Session, endpoint: Endpoint[NoQuery, NoBody, None], containers: tuple[str, ...]) -> None:
    def one(name: str) -> str:
        session.perform(call(endpoint, path={"id": name}))
        return name

    session.for_each(containers, one)


@click.command(cls=Command, usage="[OPTIONS] CONTAINER [CONTAINER...]", minimum=1)
@click.option("-f", "--force", is_flag=True, help="Force the removal of a running container (uses SIGKILL)")
@click.option("-l", "--link", is_flag=True, help="Remove the specified link")
@click.option("-v", "--volumes", is_flag=True, help="Remove anonymous volumes associated with the container")
@click.argument("containers", nargs=-1)
@pass_session
def rm(session: Session, /, containers: tuple[str, ...], *, force: bool, link: bool, volumes: bool) -> None:
    """Remove one or more containers."""
    query = ContainerDeleteQuery(force=force, link=link, v=volumes)

    def one(name: str) -> str:
        session.perform(call(endpoints.CONTAINER_DELETE, path={"id": name.strip("/")}, query=query))
        return name

    session.for_each(containers, one, missing_ok=force)


@click.command(cls=Command, usage="CONTAINER NEW_NAME", minimum=2, maximum=2)
@click.argument("container", required=False)
@click.argument("name", required=False)
@pass_session
def rename(session: Session, /, container: str, name: str) -> None:
    """Rename a container."""
    if not (container and name):
        raise NamesError("Error: Neither old nor new names may be empty")
    query = ContainerRenameQuery(name=name)
    try:
        session.perform(call(endpoints.CONTAINER_RENAME, path={"id": container}, query=query))
    except MoorageError as error:
        click.echo(f"{daemon_error(error)}\nError: failed to rename container named {container}", err=True)
        sys.exit(1)


@click.command(cls=Command, usage="CONTAINER [CONTAINER...]", minimum=1)
@click.argument("containers", nargs=-1)
@pass_session
def wait(session: Session, /, containers: tuple[str, ...]) -> None:
    """Block until one or more containers stop, then print their exit codes."""
    session.for_each(
        containers, lambda name: session.perform(call(endpoints.CONTAINER_WAIT, path={"id": name})).status_code
    )


@click.command(
    cls=Command, usage="CONTAINER [ps OPTIONS]", minimum=1, context_settings={"allow_interspersed_args": False}
)
@click.argument("container", required=False)
@click.argument("ps_args", nargs=-1, type=click.UNPROCESSED)
@pass_session
def top(session: Session, /, container: str, ps_args: tuple[str, ...]) -> None:
    """Display the running processes of a container."""
    query = ContainerTopQuery(ps_args=" ".join(ps_args))
    table = session.perform(call(endpoints.CONTAINER_TOP, path={"id": container}, query=query))
    rows = [table.titles or [], *(table.processes or [])]
    click.echo(tabbed(("\t".join(row) for row in rows), narrowest=20), nl=False)


@click.command(cls=Command, usage="CONTAINER [PRIVATE_PORT[/PROTO]]", minimum=1, maximum=2)
@click.argument("container", required=False)
@click.argument("private", required=False)
@pass_session
def port(session: Session, /, container: str, private: str | None) -> None:
    """List port mappings or a specific mapping for the container."""
    record = session.perform(call(endpoints.CONTAINER_INSPECT, path={"id": container}))
    ports = (record.network_settings.ports if record.network_settings else None) or {}
    published = {name: bindings for name, bindings in ports.items() if bindings}
    if private is None:
        for name in sorted(published, key=lambda text: (int(text.partition("/")[0]), text)):
            for binding in published[name] or ():
                click.echo(f"{name} -> {_place(binding.host_ip, binding.host_port)}")
        return
    wanted = private if "/" in private else f"{private}/tcp"
    if wanted not in published:
        raise PortNotPublishedError(f"Error: No public port '{private}' published for {container}")
    for binding in published[wanted] or ():
        click.echo(_place(binding.host_ip, binding.host_port))


def _place(address: str, number: str) -> str:
    return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"


@click.command(cls=Command, usage="[OPTIONS] CONTAINER [CONTAINER...]", minimum=1)
@click.option("--blkio-weight", type=INTEGER, default=0, help="Block IO (relative weight), between 10 and 1000")
@click.option("--cpu-period", type=INTEGER, default=0, help="Limit CPU CFS (Completely Fair Scheduler) period")
@click.option("--cpu-quota", type=INTEGER, default=0, help="Limit CPU CFS (Completely Fair Scheduler) quota")
@click.option("--cpu-rt-period", type=INTEGER, default=0, help="Limit the CPU real-time period in microseconds")
@click.option("--cpu-rt-runtime", type=INTEGER, default=0, help="Limit the CPU real-time runtime in microseconds")
@click.option("-c", "--cpu-shares", type=INTEGER, default=0, help="CPU shares (relative weight)")
@click.option("--cpus", type=CPUS, default=0, help="Number of CPUs")
@click.option("--cpuset-cpus", default="", help="CPUs in which to allow execution (0-3, 0,1)")
@click.option("--cpuset-mems", default="", help="MEMs in which to allow execution (0-3, 0,1)")
@click.option("-m", "--memory", type=BYTES, default=0, help="Memory limit")
@click.option("--memory-reservation", type=BYTES, default=0, help="Memory soft limit")
@click.option("--memory-swap", type=SWAP, default=0, help="Swap limit equal to memory plus swap")
@click.option("--pids-limit", type=INTEGER, default=None, help="Tune container pids limit (set -1 for unlimited)")
@click.option("--restart", "policy", default="", help="Restart policy to apply when a container exits")
@click.argument("containers", nargs=-1)
@pass_session
def update(session: Session, /, containers: tuple[str, ...], policy: str, **limits: object) -> None:
    """Update configuration of one or more containers."""
    if not policy and not any(value not in {0, "", None} for value in limits.values()):
        raise NothingToUpdateError
    names = {"cpus": "nano_cpus", "cpu_rt_period": "cpu_realtime_period", "cpu_rt_runtime": "cpu_realtime_runtime"}
    given = {names.get(name, name): value for name, value in limits.items() if value is not None}
    change = UpdateRequest(
        **given,  # type: ignore[arg-type]  # the options above have the fields' types
        restart_policy=restart_policy(policy) if policy else RestartPolicy(),
    )

    def one(name: str) -> str:
        for warning in session.perform(call(endpoints.CONTAINER_UPDATE, path={"id": name}, body=change)).warnings or ():
            click.echo(warning, err=True)
        return name

    session.for_each(containers, one)
