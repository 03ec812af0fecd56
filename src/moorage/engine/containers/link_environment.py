"""The environment variables by which a container finds those it is linked to.

Pure. Deprecated by Docker and still expected from engines of its age.

Spec: Engine API, HostConfig "Links".
"""

from collections.abc import Callable, Iterator

from moorage.engine.containers.links import links_of
from moorage.engine.containers.records import ContainerRecord
from moorage.errors import MoorageError

_NOT_PASSED_ON = frozenset({"HOME", "PATH"})


def link_environment(record: ContainerRecord, resolve: Callable[[str], ContainerRecord]) -> list[str]:
    """Return `NAME=value` texts for every link that leads to a running container."""
    found: list[str] = []
    for alias, reference in links_of(record).items():
        try:
            target = resolve(reference)
        except MoorageError:
            continue
        if (address := _address(target)) != "":
            found += _variables(record, alias, target, address)
    return found


def _address(target: ContainerRecord) -> str:
    sandbox = target.state.sandbox
    endpoints = sandbox.endpoints if sandbox else ()
    return next((one.ipv4.partition("/")[0] for one in endpoints if one.network_name == "bridge"), "")


def _variables(record: ContainerRecord, alias: str, target: ContainerRecord, address: str) -> Iterator[str]:
    prefix = alias.upper().replace("-", "_")
    ports = sorted(target.config.exposed_ports, key=_port_order)
    if ports:
        number, _, protocol = ports[0].partition("/")
        yield f"{prefix}_PORT={protocol or 'tcp'}://{address}:{number}"
    for port in ports:
        number, _, protocol = port.partition("/")
        protocol = protocol or "tcp"
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{name}={protocol}://{address}:{number}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={number}"
        yield f"{name}_PROTO={protocol}"
    yield f"{prefix}_NAME=/{record.name}/{alias}"
    for variable in target.config.env or ():
        if variable.partition("=")[0] not in _NOT_PASSED_ON:
            yield f"{prefix}_ENV_{variable}"


def _port_order(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number), protocol
