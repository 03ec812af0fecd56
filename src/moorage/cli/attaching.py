"""``moor attach`` and ``moor start``."""

import sys
from contextlib import ExitStack
from typing import NamedTuple

import click

from moorage.api import endpoints
from moorage.api.containers import ContainerStartQuery
from moorage.cli import terminal
from moorage.cli.attached import (
    attach_request,
    begin_wait,
    container_resizer,
    converse,
    following_size,
    forwarding_signals,
    upgrade,
)
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call
from moorage.errors import ConflictError, InvalidParameterError


class NotAttachableError(ConflictError):
    """The container is in a state in which it has no streams."""


class StartFlagsError(InvalidParameterError):
    """The flags of ``start`` do not fit its arguments."""


@click.command(cls=Command, usage="[OPTIONS] CONTAINER", minimum=1, maximum=1)
@click.option("--detach-keys", default="", help="Override the key sequence for detaching a container")
@click.option("--no-stdin", is_flag=True, help="Do not attach STDIN")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Proxy all received signals to the process")
@click.argument("container", required=False)
@pass_session
def attach(session: Session, /, container: str, *, detach_keys: str, no_stdin: bool, sig_proxy: bool) -> None:
    """Attach local standard input, output, and error streams to a running container."""
    record = session.perform(call(endpoints.CONTAINER_INSPECT, path={"id": container}))
    if record.state is None or record.config is None or not record.state.running:
        raise NotAttachableError("You cannot attach to a stopped container, start it first")
    if record.state.paused:
        raise NotAttachableError("You cannot attach to a paused container, unpause it first")
    tty, stdin = record.config.tty, record.config.open_stdin and not no_stdin
    terminal.require_terminal(interactive=stdin, tty_wanted=tty)
    target = _Target(record.id, tty, stdin, detach_keys)
    _attach(session, target, sig_proxy=sig_proxy, start=None)


class _Target(NamedTuple):
    """A container to attach to, and how."""

    identity: str
    tty: bool
    stdin: bool
    detach_keys: str


def _attach(session: Session, target: _Target, *, sig_proxy: bool, start: ContainerStartQuery | None) -> None:
    identity, tty = target.identity, target.tty
    streams = frozenset({"stdout", "stderr", *(["stdin"] if target.stdin else [])})
    with ExitStack() as stack:
        stack.enter_context(forwarding_signals(session, identity, wanted=sig_proxy and not tty))
        exchange = upgrade(session, attach_request(identity, streams=streams, detach_keys=target.detach_keys))
        exit_status = begin_wait(session, identity, condition="next-exit" if start else "not-running")
        if start:
            session.perform(call(endpoints.CONTAINER_START, path={"id": identity}, query=start))
        resize = container_resizer(session, identity)
        if tty and not start and (found := terminal.size()):
            # A change of size makes the program draw its prompt again for who comes late.
            resize(found[0] + 1, found[1] + 1)
        stack.enter_context(following_size(resize, tty=tty))
        converse(exchange, stdin=target.stdin, tty=tty)
        record = session.perform(call(endpoints.CONTAINER_INSPECT, path={"id": identity}))
        if record.state is not None and record.state.running and tty:
            return
        sys.exit(exit_status())


@click.command(cls=Command, usage="[OPTIONS] CONTAINER [CONTAINER...]", minimum=1)
@click.option("-a", "--attach", is_flag=True, help="Attach STDOUT/STDERR and forward signals")
@click.option("--checkpoint", default="", help="Restore from this checkpoint")
@click.option("--checkpoint-dir", default="", help="Use a custom checkpoint storage directory")
@click.option("--detach-keys", default="", help="Override the key sequence for detaching a container")
@click.option("-i", "--interactive", is_flag=True, help="Attach container's STDIN")
@click.argument("containers", nargs=-1)
@pass_session
def start(
    session: Session,
    /,
    containers: tuple[str, ...],
    *,
    attach: bool,
    detach_keys: str,
    interactive: bool,
    **restored: str,
) -> None:
    """Start one or more stopped containers."""
    query = ContainerStartQuery(**restored)
    if not attach and not interactive:
        if query.checkpoint:
            if len(containers) > 1:
                raise StartFlagsError("you cannot restore multiple containers at once")
            session.perform(call(endpoints.CONTAINER_START, path={"id": containers[0]}, query=query))
            return

        def one(name: str) -> str:
            session.perform(call(endpoints.CONTAINER_START, path={"id": name}, query=query))
            return name

        session.for_each(containers, one, summary="failed to start containers")
        return
    if len(containers) > 1:
        raise StartFlagsError("you cannot start and attach multiple containers at once")
    record = session.perform(call(endpoints.CONTAINER_INSPECT, path={"id": containers[0]}))
    tty = record.config is not None and record.config.tty
    stdin = interactive and record.config is not None and record.config.open_stdin
    _attach(session, _Target(record.id, tty, stdin, detach_keys), sig_proxy=True, start=query)
