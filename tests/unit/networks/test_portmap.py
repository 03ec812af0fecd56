"""Ports: what a binding asks for, and what is taken for it."""

import errno
import socket

import pytest

from moorage.networks.errors import InvalidPortError, PortTakenError
from moorage.networks.models import PortBinding
from moorage.networks.portmap import PortMap, PortRequest, read_bindings, read_container_port

ANY = ("0.0.0.0", "::")


class Kernel:
    """Binds ports without any socket; some belong to others."""

    def __init__(self, *foreign: int) -> None:
        self.foreign = set(foreign)

    def __call__(self, protocol: str, host_ip: str, port: int) -> socket.socket:
        if port in self.foreign:
            raise OSError(errno.EADDRINUSE, "in use")
        return socket.socket(socket.AF_UNIX)


def request(first: int = 0, last: int = 0, *, ips: tuple[str, ...] = ANY, port: int = 80) -> PortRequest:
    return PortRequest(protocol="tcp", container_port=port, host_ips=ips, first=first, last=last or first)


def opened(ports: PortMap, *requests: PortRequest) -> list[tuple[str, int]]:
    published, sockets = ports.open(requests, target=lambda host_ip: "172.17.0.2")
    for one in sockets:
        one.close()
    return [(port.host_ip, port.host_port) for port in published]


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        (PortBinding(host_port="8080"), (ANY, 8080, 8080)),
        (PortBinding(), (ANY, 0, 0)),
        (PortBinding(host_ip="127.0.0.1", host_port="8000-8010"), (("127.0.0.1",), 8000, 8010)),
        (PortBinding(host_ip="[::1]", host_port="80"), (("::1",), 80, 80)),
    ],
)
def test_a_binding_names_addresses_and_ports(binding: PortBinding, expected: tuple[tuple[str, ...], int, int]) -> None:
    (read,) = read_bindings({"80/tcp": (binding,)}, exposed=(), publish_all=False, default_ips=ANY)
    assert (read.host_ips, read.first, read.last) == expected


def test_publishing_all_adds_the_exposed_ports_that_are_not_bound() -> None:
    bindings = {"80/tcp": (PortBinding(host_port="8080"),)}
    read = read_bindings(bindings, exposed=["80/tcp", "53/udp"], publish_all=True, default_ips=ANY)
    assert [(one.protocol, one.container_port, one.first) for one in read] == [("udp", 53, 0), ("tcp", 80, 8080)]


@pytest.mark.parametrize("text", ["0/tcp", "70000/tcp", "x/tcp", "80/icmp", "/tcp"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidPortError):
        read_container_port(text)


@pytest.mark.parametrize(
    "binding", [PortBinding(host_port="x"), PortBinding(host_port="9-8"), PortBinding(host_ip="h")]
)
def test_a_binding_that_makes_no_sense_is_refused(binding: PortBinding) -> None:
    with pytest.raises(InvalidPortError):
        read_bindings({"80/tcp": (binding,)}, exposed=(), publish_all=False, default_ips=ANY)


def test_both_families_get_the_same_port() -> None:
    (ip4, port4), (ip6, port6) = opened(PortMap(bind=Kernel()), request())
    assert (ip4, ip6) == ANY
    assert port4 == port6


def test_of_a_range_the_first_free_port_is_taken() -> None:
    ports = PortMap(bind=Kernel(8000))
    assert opened(ports, request(8000, 8002)) == [("0.0.0.0", 8001), ("::", 8001)]
    assert opened(ports, request(8000, 8002)) == [("0.0.0.0", 8002), ("::", 8002)]
    with pytest.raises(PortTakenError, match="port is already allocated"):
        opened(ports, request(8000, 8002))


@pytest.mark.parametrize(
    ("held", "wanted", "clash"),
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "::", False),
    ],
)
def test_a_wildcard_holds_the_port_of_all_addresses_of_its_family(held: str, wanted: str, clash: bool) -> None:
    ports = PortMap(bind=Kernel())
    opened(ports, request(80, ips=(held,)))
    if clash:
        with pytest.raises(PortTakenError, match=rf"Bind for {wanted}:80 failed: port is already allocated"):
            opened(ports, request(80, ips=(wanted,)))
    else:
        opened(ports, request(80, ips=(wanted,)))


def test_a_port_that_was_named_is_not_taken_by_one_that_may_be_any() -> None:
    ports = PortMap(bind=Kernel())
    _, (_, latest) = opened(ports, request())
    found = opened(ports, request(), request(latest + 2, latest + 3), request(latest + 1))
    assert {number for _, number in found} == {latest + 1, latest + 2, latest + 3}


def test_all_or_none_is_taken() -> None:
    kernel = Kernel(81)
    ports = PortMap(bind=kernel)
    with pytest.raises(PortTakenError, match=r"failed to bind host port for 0.0.0.0:81:172.17.0.2:80/tcp: address al"):
        opened(ports, request(80), request(81))
    kernel.foreign.clear()
    assert len(opened(ports, request(80), request(81))) == 4


def test_released_and_restored_ports() -> None:
    ports = PortMap(bind=Kernel())
    published, sockets = ports.open([request(80)], target=lambda host_ip: "172.17.0.2")
    for one in sockets:
        one.close()
    ports.release(published)
    ports.release(published)
    ports.restore(published)
    with pytest.raises(PortTakenError):
        opened(ports, request(80))
