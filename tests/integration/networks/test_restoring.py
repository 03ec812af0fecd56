"""What a daemon that was killed finds, and makes of it, when it starts again."""

import asyncio
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.api.networks import NetworkCreateRequest
from moorage.networks import bridge
from moorage.networks.errors import PortTakenError
from moorage.networks.models import NetworkOptions, PortBinding
from tests.integration.networks.playground import HOST_ON_LAN, Playground, in_namespace, inside, listen, reaches
from tests.support.isolation import in_network_namespace

pytestmark = pytest.mark.needs("root")

WEB = {"80/tcp": (PortBinding(host_ip="0.0.0.0", host_port="8080"),)}


def on_host(directory: Path, body: Callable[[Playground], None]) -> None:
    def run() -> None:
        # A new namespace begins with the setting of the one that it was made in.
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        playground = Playground(directory)
        playground.restore()
        body(playground)

    in_network_namespace(run)


def restart(host: Playground) -> None:
    """Kill the daemon and start another one: only the store and the live sandboxes are left."""
    host.networks.close()
    host.networks = host.assemble()
    host.restore()


def ruleset() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_restoring_twice_changes_nothing(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        _, opened = host.run("web", ports=WEB)
        host.live = [opened.sandbox]
        restart(host)
        once = ruleset()
        restart(host)
        assert ruleset() == once
        assert "172.17.0.2 . 80" in once

    on_host(tmp_path, body)


def test_a_live_container_keeps_its_address_its_port_and_its_connections(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        web, opened = host.run("web", ports=WEB)
        server = in_namespace(web, listen)
        host.live = [opened.sandbox]
        restart(host)
        with inside(host.neighbour_fd):
            assert reaches(server, HOST_ON_LAN, 8080)
        assert host.run("second")[1].sandbox.endpoints[0].ipv4 == "172.17.0.3/16"
        with pytest.raises(PortTakenError, match="port is already allocated"):
            host.run("third", ports=WEB)

    on_host(tmp_path, body)


def test_what_a_dead_container_had_is_free_again(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        _, opened = host.run("web", ports=WEB)
        opened.close_listeners()
        restart(host)
        assert "172.17.0.2" not in ruleset()
        assert host.run("second", ports=WEB)[1].sandbox.endpoints[0].ipv4 == "172.17.0.2/16"

    on_host(tmp_path, body)


def test_rules_of_others_are_left_alone(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        foreign = "table ip foreign {\n\tchain mine {\n\t\ttype filter hook forward priority filter; policy accept;\n"
        subprocess.run(["nft", "-f", "-"], input=foreign + "\t}\n}\n", text=True, check=True)
        restart(host)
        _, opened = host.run("web", ports=WEB)
        opened.close_listeners()
        host.networks.service.close_sandbox("web")
        assert foreign in ruleset()

    on_host(tmp_path, body)


def test_a_flushed_ruleset_comes_back_with_the_next_change(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        host.run("web", ports=WEB)
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        host.run("second", ports={"80/tcp": (PortBinding(host_port="8081"),)})
        assert "tcp . 8080 : 172.17.0.2 . 80" in ruleset()
        assert "tcp . 8081 : 172.17.0.3 . 80" in ruleset()

    on_host(tmp_path, body)


def test_a_network_whose_creation_or_removal_was_cut_is_whole_again(tmp_path: Path) -> None:
    """In between there is a row and no device, whichever way it was going."""

    def body(host: Playground) -> None:
        network = asyncio.run(host.networks.creator.create(NetworkCreateRequest(name="cut")))
        bridge.delete(network.bridge)
        bridge.delete("moorage0")
        restart(host)
        assert {network.bridge, "moorage0"} <= {name for _, name in socket.if_nameindex()}
        assert network.bridge in ruleset()
        asyncio.run(host.networks.remover.remove("cut"))
        assert network.bridge not in ruleset()

    on_host(tmp_path, body)


def test_a_sandbox_that_was_never_stored_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        empty = ruleset()
        _, opened = host.run("web", ports=WEB)
        opened.close_listeners()
        restart(host)
        assert ruleset() == empty
        assert not list((tmp_path / "networks" / "resolvers").iterdir())

    on_host(tmp_path, body)


def test_a_closed_sandbox_leaves_no_element_behind(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        empty = ruleset()
        host.run("web", ports=WEB)
        host.networks.service.close_sandbox("web")
        host.networks.service.close_sandbox("web")
        assert ruleset() == empty

    on_host(tmp_path, body)


def test_the_host_does_not_become_a_router_between_its_own_interfaces(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        assert "routes for bridges only" in ruleset()
        # The restarted daemon finds routing on, and must know that it was not before.
        restart(host)
        assert "routes for bridges only" in ruleset()

    on_host(tmp_path, body)


def test_two_daemons_on_one_host_have_tables_of_their_own(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        other = Playground.__new__(Playground)
        other.__dict__.update(host.__dict__)
        other.options = NetworkOptions(bridge="other0")
        other.store = type(host.store)()
        other.networks = other.assemble()
        other.restore()
        host.run("web", ports=WEB)
        assert "table inet moorage {" in ruleset()
        assert "table inet moorage-other0 {" in ruleset()
        assert other.networks.service.find("bridge").pools[0].subnet == "172.18.0.0/16"

    on_host(tmp_path, body)
