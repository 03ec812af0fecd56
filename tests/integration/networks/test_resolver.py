"""The resolver in a sandbox: questions come in at port 53, whatever port it listens on."""

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.netlink import address, link
from moorage.netlink.socket import NetlinkSocket
from moorage.shim.loop import Loop
from moorage.shim.resolver import message
from moorage.shim.resolver.server import Resolver
from moorage.shim.resolver.sockets import DATAGRAMS, NAMESPACE, STREAMS, open_sockets
from tests.integration.networks.playground import inside, new_namespace
from tests.support.isolation import in_network_namespace
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")

UPSTREAM = "198.51.100.53"


class Sandbox:
    """A namespace with a resolver, and a name server on the host."""

    def __init__(self, directory: Path) -> None:
        self.loop = Loop()
        self.namespace_fd = new_namespace()
        for namespace_fd in (-1, self.namespace_fd):
            with NetlinkSocket(namespace_fd=namespace_fd) as netlink:
                netlink.send(link.up(link.LOOPBACK_INDEX))
        with NetlinkSocket() as netlink:
            netlink.send(address.add(link.LOOPBACK_INDEX, address=f"{UPSTREAM}/32"))
        zone = directory / "zone.json"
        zone.write_text(json.dumps({"network": "n", "holders": [{"names": ["web"], "addresses": ["172.18.0.2"]}]}))
        self.file = directory / "resolver.json"
        self.document = {
            "zones": [{"file": str(zone), "network": "n"}],
            "links": {},
            # The first one is nobody: the second one is asked after it.
            "upstream": [{"server": "127.0.0.99", "inside": False}, {"server": UPSTREAM, "inside": False}],
        }
        self.file.write_text(json.dumps(self.document))
        self.resolver = self.open()

    def open(self) -> Resolver:
        """Return a resolver on new sockets."""
        datagrams_fd, streams_fd = open_sockets(self.namespace_fd)
        descriptors = {DATAGRAMS: datagrams_fd, STREAMS: streams_fd, NAMESPACE: os.dup(self.namespace_fd)}
        return Resolver(self.loop, str(self.file), descriptors)

    def ask(self, name: str, kind: int, *, stream: bool = False, meanwhile: Callable[[], None] | None = None) -> bytes:
        """Return the answer that a program in the sandbox gets."""
        how = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        with inside(self.namespace_fd):
            client = socket.socket(socket.AF_INET, how)
        with client:
            client.settimeout(stretched(2))
            client.connect(("127.0.0.11", 53))
            client.send(framed(question(name, kind), stream=stream))
            for _ in range(2 if stream else 1):
                self.loop.run_once()
            if meanwhile:
                meanwhile()
            answer = client.recv(1000)
            return answer[2:] if stream else answer


def question(name: str, kind: int) -> bytes:
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + message.encode_name(name) + struct.pack("!HH", kind, 1)


def framed(data: bytes, *, stream: bool) -> bytes:
    return len(data).to_bytes(2) + data if stream else data


def in_sandbox(directory: Path, body: Callable[[Sandbox], None]) -> None:
    in_network_namespace(lambda: body(Sandbox(directory)))


@pytest.mark.parametrize("stream", [False, True])
def test_a_container_name_is_answered(tmp_path: Path, stream: bool) -> None:
    def body(sandbox: Sandbox) -> None:
        assert sandbox.ask("web", message.A, stream=stream).endswith(socket.inet_aton("172.18.0.2"))
        assert message.encode_name("web.n") in sandbox.ask("2.0.18.172.in-addr.arpa", message.PTR, stream=stream)

    in_sandbox(tmp_path, body)


def test_a_server_of_the_containers_own_may_have_port_53(tmp_path: Path) -> None:
    def body(sandbox: Sandbox) -> None:
        with inside(sandbox.namespace_fd):
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with own:
            own.bind(("0.0.0.0", 53))
            assert sandbox.ask("web", message.A).endswith(socket.inet_aton("172.18.0.2"))

    in_sandbox(tmp_path, body)


def test_another_name_is_asked_of_the_hosts_servers_in_turn(tmp_path: Path) -> None:
    def body(sandbox: Sandbox) -> None:
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        upstream.bind((UPSTREAM, 53))
        upstream.settimeout(stretched(2))

        def answer() -> None:
            # The first server refused, which is an event of its own.
            sandbox.loop.run_once()
            asked, client = upstream.recvfrom(1000)
            assert asked == question("example.org", message.A)
            upstream.sendto(asked[:2] + b"\x81\x80" + asked[4:] + b"answer", client)
            sandbox.loop.run_once()

        assert sandbox.ask("example.org", message.A, meanwhile=answer).endswith(b"answer")
        upstream.close()

    in_sandbox(tmp_path, body)


def test_an_internal_network_asks_nobody(tmp_path: Path) -> None:
    def body(sandbox: Sandbox) -> None:
        sandbox.file.write_text(json.dumps({**sandbox.document, "upstream": []}))
        assert sandbox.ask("example.org", message.A)[3] & 0x0F == message.SERVER_FAILURE

    in_sandbox(tmp_path, body)


def test_a_closed_resolver_holds_nothing(tmp_path: Path) -> None:
    def body(sandbox: Sandbox) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        sandbox.resolver.close()
        again = sandbox.open()
        assert sandbox.ask("web", message.A).endswith(socket.inet_aton("172.18.0.2"))
        again.close()
        again.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before - 3

    in_sandbox(tmp_path, body)
