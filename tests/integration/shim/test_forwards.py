"""Published ports that the shim itself forwards."""

import socket
import time
from pathlib import Path

import pytest

from tests.integration.shim.harness import PATIENCE, Launcher, read_to_end, running_launcher

pytestmark = pytest.mark.needs("root", "busybox")


def echo_container(launcher: Launcher, listener: socket.socket, target: tuple[str, int], protocol: str) -> None:
    """Start a container whose forward goes to a socket of the test: it needs no network of its own."""
    bundle = launcher.bundle("sleep", "1000")
    bundle.plan["forwards"] = [{"protocol": protocol, "target": list(target)}]
    launcher.run(bundle, forwards=(listener.fileno(),))


def test_tcp_is_copied_both_ways_and_ends_by_halves(launcher: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as server:
        echo_container(launcher, listener, server.getsockname(), "tcp")
        server.settimeout(PATIENCE)
        sent = bytes(range(256)) * 8192
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
            client.sendall(sent[:100_000])
            client.shutdown(socket.SHUT_WR)
            inside, _ = server.accept()
            with inside:
                inside.settimeout(PATIENCE)
                assert read_to_end(inside) == sent[:100_000]
                inside.sendall(sent[:200_000])
            assert read_to_end(client) == sent[:200_000]


def test_refused_connection_is_closed(launcher: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        echo_container(launcher, listener, ("127.0.0.1", 1), "tcp")
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
            assert client.recv(1) == b""


def test_udp_answers_find_their_client(launcher: Launcher) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        for sock in (listener, server):
            sock.bind(("127.0.0.1", 0))
        for sock in (server, one, two):
            sock.settimeout(PATIENCE)
        echo_container(launcher, listener, server.getsockname(), "udp")
        for client in (one, two):
            client.sendto(b"ping", listener.getsockname())
            data, seen = server.recvfrom(100)
            server.sendto(data + repr(client.getsockname()).encode(), seen)
        for client in (two, one):
            assert client.recvfrom(100) == (b"ping" + repr(client.getsockname()).encode(), listener.getsockname())


def test_port_is_free_when_the_exit_is_announced(launcher: Launcher) -> None:
    assert_port_is_free_at_the_exit(launcher)


def test_port_is_free_also_if_no_process_was_warm(tmp_path: Path) -> None:
    with running_launcher(tmp_path, pool=0) as launcher:
        assert_port_is_free_at_the_exit(launcher)


def assert_port_is_free_at_the_exit(launcher: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        bundle = launcher.bundle("true")
        bundle.plan["forwards"] = [{"protocol": "tcp", "target": ["127.0.0.1", 1]}]
        control = launcher.start(bundle, forwards=(listener.fileno(),))
    control.event("exited")
    socket.create_server(address).close()


def test_more_ports_than_one_packet_holds_descriptors(launcher: Launcher) -> None:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(300)]
    bundle = launcher.bundle("sleep", "1000")
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = list(server.getsockname())
        bundle.plan["forwards"] = [{"protocol": "tcp", "target": target} for _ in listeners]
        control = launcher.run(bundle, forwards=tuple(listener.fileno() for listener in listeners))
        address = listeners[-1].getsockname()
        for listener in listeners:
            listener.close()
        # Long enough to have been handed to the keeper and back.
        time.sleep(1.5)
        with socket.create_connection(address, timeout=PATIENCE):
            server.settimeout(PATIENCE)
            server.accept()[0].close()
    assert control.call("state")["status"] == "running"
