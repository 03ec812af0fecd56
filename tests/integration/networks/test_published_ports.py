"""Published ports on a real kernel: who reaches what, and under which address."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.api.networks import NetworkCreateRequest
from moorage.netlink import address, link, route
from moorage.netlink.socket import NetlinkSocket
from moorage.networks.errors import PortTakenError
from moorage.networks.models import Attachment, PortBinding
from tests.integration.networks.playground import (
    HOST_ON_LAN,
    NEIGHBOUR,
    Playground,
    default_route,
    in_namespace,
    inside,
    listen,
    reaches,
)
from tests.support.isolation import in_network_namespace
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")

WEB = {"80/tcp": (PortBinding(host_port="8080"),)}


def on_host(directory: Path, body: Callable[[Playground], None]) -> None:
    """Run `body` on a fresh host whose networks are set up."""

    def run() -> None:
        playground = Playground(directory)
        playground.restore()
        body(playground)

    in_network_namespace(run)


def test_a_neighbour_reaches_a_published_port_and_the_container_sees_its_address(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        web, _ = host.run("web", ports=WEB)
        server = in_namespace(web, listen)
        with inside(host.neighbour_fd):
            assert reaches(server, HOST_ON_LAN, 8080) == NEIGHBOUR

    on_host(tmp_path, body)


def test_the_host_reaches_a_published_port_at_its_own_address_and_at_localhost(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        web, _ = host.run("web", ports=WEB)
        server = in_namespace(web, listen)
        assert reaches(server, HOST_ON_LAN, 8080)
        assert reaches(server, "127.0.0.1", 8080) == "172.17.0.1"

    on_host(tmp_path, body)


def test_a_container_reaches_published_ports_of_itself_and_of_others_by_the_hosts_address(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        web, _ = host.run("web", ports=WEB)
        other, _ = host.run("other")
        server = in_namespace(web, listen)
        assert in_namespace(other, lambda: reaches(server, HOST_ON_LAN, 8080))
        assert in_namespace(web, lambda: reaches(server, HOST_ON_LAN, 8080))

    on_host(tmp_path, body)


def test_a_port_published_on_localhost_is_out_of_a_neighbours_reach(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        web, opened = host.run("web", ports={"80/tcp": (PortBinding(host_ip="127.0.0.1", host_port="8080"),)})
        server = in_namespace(web, listen)
        assert reaches(server, "127.0.0.1", 8080)
        default_route(host.neighbour_fd, HOST_ON_LAN)
        with inside(host.neighbour_fd):
            assert not reaches(server, HOST_ON_LAN, 8080)
            assert not reaches(server, opened.sandbox.endpoints[0].ipv4.partition("/")[0], 80)

    on_host(tmp_path, body)


def test_udp_is_published_too(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        dns, _ = host.run("dns", ports={"53/udp": (PortBinding(host_port="5353"),)})
        server = in_namespace(dns, lambda: listen(port=53, kind=socket.SOCK_DGRAM))
        with inside(host.neighbour_fd), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(stretched(2))
            client.sendto(b"question", (HOST_ON_LAN, 5353))
            question, peer = server.recvfrom(100)
            server.sendto(b"answer to " + question, peer)
            assert client.recvfrom(100) == (b"answer to question", (HOST_ON_LAN, 5353))

    on_host(tmp_path, body)


def test_a_client_that_never_pauses_reaches_a_container_that_starts_later(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        with inside(host.neighbour_fd):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            # The kernel notes that this flow goes to the host itself.
            client.sendto(b"too early", (HOST_ON_LAN, 5353))
            late, _ = host.run("late", ports={"53/udp": (PortBinding(host_port="5353"),)})
            server = in_namespace(late, lambda: listen(port=53, kind=socket.SOCK_DGRAM))
            host.networks.flows.close()
            client.sendto(b"in time", (HOST_ON_LAN, 5353))
            assert server.recv(100) == b"in time"

    on_host(tmp_path, body)


def test_a_container_reaches_a_neighbour_under_the_hosts_address(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        client, _ = host.run("client")
        server = in_namespace(host.neighbour_fd, lambda: listen(port=9000))
        assert in_namespace(client, lambda: reaches(server, NEIGHBOUR, 9000)) == HOST_ON_LAN

    on_host(tmp_path, body)


def test_an_unpublished_port_is_out_of_a_neighbours_reach_even_by_routing(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        web, opened = host.run("web")
        server = in_namespace(web, listen)
        default_route(host.neighbour_fd, HOST_ON_LAN)
        own = opened.sandbox.endpoints[0].ipv4.partition("/")[0]
        assert not in_namespace(host.neighbour_fd, lambda: reaches(server, own, 80))
        assert reaches(server, own, 80)

    on_host(tmp_path, body)


def test_a_container_cannot_reach_what_listens_on_the_hosts_localhost(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        evil, _ = host.run("evil")
        server = listen("127.0.0.1", 7000)
        with inside(evil):
            Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")
            # As an attacker would: 127.0.0.0/8 routed through the gateway.
            with NetlinkSocket() as netlink:
                netlink.send(address.delete(link.LOOPBACK_INDEX, address="127.0.0.1/8"))
                eth0 = link.get(netlink, name="eth0").index
                netlink.send(route.add(eth0, gateway="172.17.0.1", destination="127.0.0.0/8"))
            assert not reaches(server, "127.0.0.1", 7000)

    on_host(tmp_path, body)


def test_networks_are_isolated_from_each_other_but_for_published_ports(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        asyncio.run(host.networks.creator.create(NetworkCreateRequest(name="back")))
        web, opened = host.run("web", attachments=(Attachment(network="back"),), ports=WEB)
        server = in_namespace(web, listen)
        stranger, _ = host.run("stranger")
        friend, _ = host.run("friend", attachments=(Attachment(network="back"),))
        own = opened.sandbox.endpoints[0].ipv4.partition("/")[0]
        assert not in_namespace(stranger, lambda: reaches(server, own, 80))
        assert in_namespace(friend, lambda: reaches(server, own, 80))
        assert in_namespace(stranger, lambda: reaches(server, HOST_ON_LAN, 8080))

    on_host(tmp_path, body)


def test_a_port_of_ours_and_a_port_of_somebody_else_are_refused_in_dockers_words(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        host.run("web", ports=WEB)
        with pytest.raises(PortTakenError, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated"):
            host.run("second", ports=WEB)
        foreign = listen(port=9000)
        taken = {"80/tcp": (PortBinding(host_ip="0.0.0.0", host_port="9000"),)}
        text = r"failed to bind host port for 0\.0\.0\.0:9000:172\.17\.0\.3:80/tcp: address already in use"
        with pytest.raises(PortTakenError, match=text):
            host.run("third", ports=taken)
        foreign.close()
        assert host.run("fourth")[1].sandbox.endpoints[0].ipv4 == "172.17.0.3/16"

    on_host(tmp_path, body)
