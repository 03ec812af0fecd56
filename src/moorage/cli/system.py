"""``moor version`` and ``moor info``."""

import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import click
import msgspec

from moorage.api import endpoints
from moorage.api.system import SystemInfo, SystemVersion
from moorage.api.versions import MAXIMUM, RELEASE
from moorage.cli.grammar import Command, daemon_error
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import binary_size
from moorage.client.calls import call
from moorage.errors import MoorageError
from moorage.templates.functions import to_json
from moorage.templates.rendering import Template

_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def _client(session: Session, *, reached: bool) -> dict[str, Any]:
    agreed = str(session.connection.version()) if reached else str(MAXIMUM)
    machine = platform.machine()
    return {
        "Platform": {"Name": "Moorage"},
        "Version": RELEASE,
        "ApiVersion": agreed,
        "APIVersion": agreed,
        "DefaultAPIVersion": str(MAXIMUM),
        "GoVersion": f"python{platform.python_version()}",
        "GitCommit": "",
        "BuildTime": "",
        "Os": "linux",
        "Arch": _MACHINES.get(machine, machine),
        "Context": session.context,
    }


@click.command(cls=Command, maximum=0)
@click.option("-f", "--format", "format_text", default="", help="Format output using a custom template")
@pass_session
def version(session: Session, /, *, format_text: str) -> None:
    """Show the Moorage version information."""
    server: SystemVersion | None = None
    failure: MoorageError | None = None
    try:
        server = session.perform(call(endpoints.SYSTEM_VERSION))
    except MoorageError as error:
        failure = error
    client = _client(session, reached=server is not None)
    if format_text:
        found = {"Client": client, "Server": server and _as_template_sees(server)}
        shown = to_json(found) if format_text == "json" else Template(format_text).render(found)
        click.echo(shown)
    else:
        click.echo("\n".join(_version_lines(client, server)))
    if failure is not None:
        click.echo(daemon_error(failure), err=True)
        sys.exit(1)


def _as_template_sees(record: Any) -> dict[str, Any]:
    """Return a record under the names of Go's fields, which differ from the wire's for some."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    for wire, go in (("ApiVersion", "APIVersion"), ("MinAPIVersion", "MinAPIVersion")):
        if wire in found:
            found[go] = found[wire]
    return found


def _line(indent: str, name: str, value: str) -> str:
    cell = f"{indent}{name}:"
    return f"{cell:<19} {value}"


def _version_lines(client: Mapping[str, Any], server: SystemVersion | None) -> Iterator[str]:
    downgraded = client["DefaultAPIVersion"] if client["APIVersion"] != client["DefaultAPIVersion"] else ""
    yield "Client: Moorage"
    yield _line(" ", "Version", client["Version"])
    yield _line(" ", "API version", client["APIVersion"] + (f" (downgraded from {downgraded})" if downgraded else ""))
    yield _line(" ", "Python version", client["GoVersion"].removeprefix("python"))
    yield _line(" ", "OS/Arch", f"{client['Os']}/{client['Arch']}")
    yield _line(" ", "Context", client["Context"])
    if server is None:
        return
    yield ""
    yield f"Server: {server.platform.name}".rstrip()
    yield " Engine:"
    yield _line("  ", "Version", server.version)
    yield _line("  ", "API version", f"{server.api_version} (minimum version {server.min_api_version})")
    yield _line("  ", "Python version", server.go_version.removeprefix("python"))
    yield _line("  ", "OS/Arch", f"{server.os}/{server.arch}")
    yield _line("  ", "Experimental", str(server.experimental).lower())
    for component in server.components:
        if component.name == "Engine":
            continue
        yield f" {component.name}:"
        yield _line("  ", "Version", component.version)
        for name, value in sorted(component.details.items()):
            if value:
                yield _line("  ", name, value)


@click.command(cls=Command, maximum=0)
@click.option("-f", "--format", "format_text", default="", help="Format output using a custom template")
@pass_session
def info(session: Session, /, *, format_text: str) -> None:
    """Display system-wide information."""
    client = {"Version": RELEASE, "Context": session.context, "Debug": False, "Plugins": []}
    found = session.perform(call(endpoints.SYSTEM_INFO))
    if format_text:
        values = {**msgspec.to_builtins(found), "ClientInfo": client}
        click.echo(to_json(values) if format_text == "json" else Template(format_text).render(values))
        return
    click.echo("Client: Moorage")
    click.echo(f" Version:    {client['Version']}\n Context:    {client['Context']}\n Debug Mode: false\n")
    click.echo("Server:")
    click.echo("\n".join(_info_lines(found)) + "\n")
    for warning in found.warnings or ():
        click.echo(warning, err=True)


def _info_lines(found: SystemInfo) -> Iterator[str]:
    yield f" Containers: {found.containers}"
    yield f"  Running: {found.containers_running}"
    yield f"  Paused: {found.containers_paused}"
    yield f"  Stopped: {found.containers_stopped}"
    yield f" Images: {found.images}"
    yield from _given(" Server Version", found.server_version)
    yield f" Storage Driver: {found.driver}"
    yield from (f"  {name}: {value}" for name, value in found.driver_status)
    yield from _given(" Logging Driver", found.logging_driver)
    yield from _given(" Cgroup Driver", found.cgroup_driver)
    yield from _given(" Cgroup Version", found.cgroup_version)
    yield " Plugins:"
    yield f"  Volume: {' '.join(found.plugins.volume or ())}"
    yield f"  Network: {' '.join(found.plugins.network or ())}"
    yield from _given("  Authorization", " ".join(found.plugins.authorization or ()))
    yield f"  Log: {' '.join(found.plugins.log or ())}"
    yield from _listed(" CDI spec directories", found.cdi_spec_dirs)
    yield f" Swarm: {found.swarm.local_node_state}"
    yield f" Runtimes: {' '.join(sorted(found.runtimes))}"
    yield f" Default Runtime: {found.default_runtime}"
    yield f" Init Binary: {found.init_binary}"
    yield from _security(found.security_options)
    yield from _host(found)
    yield from _settings(found)


def _given(name: str, value: str) -> Iterator[str]:
    if value:
        yield f"{name}: {value}"


def _listed(title: str, values: Iterable[str]) -> Iterator[str]:
    lines = [f"  {value}" for value in values]
    if lines:
        yield f"{title}:"
        yield from lines


def _security(options: Iterable[str]) -> Iterator[str]:
    lines: list[str] = []
    for option in options:
        pairs = [part.partition("=") for part in option.split(",")]
        lines += [f"  {value}" if name == "name" else f"   {name.title()}: {value}" for name, _, value in pairs]
    if lines:
        yield " Security Options:"
        yield from lines


def _host(found: SystemInfo) -> Iterator[str]:
    yield from _given(" Kernel Version", found.kernel_version)
    yield from _given(" Operating System", found.operating_system)
    yield from _given(" OSType", found.os_type)
    yield from _given(" Architecture", found.architecture)
    yield f" CPUs: {found.ncpu}"
    yield f" Total Memory: {binary_size(found.mem_total)}"
    yield from _given(" Name", found.name)
    yield from _given(" ID", found.id)
    yield f" Moorage Root Dir: {found.docker_root_dir}"
    yield f" Debug Mode: {str(found.debug).lower()}"


def _settings(found: SystemInfo) -> Iterator[str]:
    yield from _given(" HTTP Proxy", found.http_proxy)
    yield from _given(" HTTPS Proxy", found.https_proxy)
    yield from _given(" No Proxy", found.no_proxy)
    yield from _listed(" Labels", found.labels)
    yield f" Experimental: {str(found.experimental_build).lower()}"
    registries = found.registry_config
    insecure = [name for name, index in registries.index_configs.items() if not index.secure]
    yield from _listed(" Insecure Registries", [*sorted(insecure), *registries.insecure_registry_cidrs])
    yield from _listed(" Registry Mirrors", registries.mirrors or ())
    yield f" Live Restore Enabled: {str(found.live_restore_enabled).lower()}"
    pools = [f"Base: {pool.base}, Size: {pool.size}" for pool in found.default_address_pools]
    if pools:
        yield " Default Address Pools:"
        yield from (f"   {pool}" for pool in pools)
    if found.firewall_backend is not None:
        yield f" Firewall Backend: {found.firewall_backend.driver}"
