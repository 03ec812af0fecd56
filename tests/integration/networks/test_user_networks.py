"""Networks that users make, and containers that come and go on them while they run."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.api.filters import Filters
from moorage.api.networks import IPAM, EndpointSettings, IPAMConfig, NetworkCreateRequest
from moorage.networks import bridge
from moorage.networks.attachment import read_attachments
from moorage.networks.bridge import BridgeError
from moorage.networks.errors import (
    ActiveEndpointsError,
    AddressInUseError,
    AlreadyAttachedError,
    InterfaceTakenError,
    InvalidAttachmentError,
    LinkedContainerError,
    NetworkNotFoundError,
    PredefinedNetworkRemovalError,
    SubnetOverlapError,
)
from moorage.networks.models import Attachment, ContainerNetworks, Network, NetworkOptions, PortBinding
from moorage.state.networks import NetworkNameReservedError
from tests.integration.networks.playground import HOST_ON_LAN, NEIGHBOUR, Playground, in_namespace, listen, reaches
from tests.support.isolation import in_network_namespace

pytestmark = pytest.mark.needs("root")


def on_host(directory: Path, body: Callable[[Playground], None]) -> None:
    def run() -> None:
        playground = Playground(directory)
        playground.restore()
        body(playground)

    in_network_namespace(run)


def create(host: Playground, name: str, **more: object) -> Network:
    return asyncio.run(host.networks.creator.create(NetworkCreateRequest(name=name, **more)))  # type: ignore[arg-type]


def devices() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def test_a_network_has_its_own_subnet_device_and_list_entry(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        network = create(host, "front")
        assert network.bridge in devices()
        (shown,) = host.networks.lister.list(filters=Filters({"name": ("^front$",)}))
        assert shown.ipam.config == [IPAMConfig(subnet="172.18.0.0/16", gateway="172.18.0.1")]
        with pytest.raises(NetworkNameReservedError, match="network with name front already exists"):
            create(host, "front")

    on_host(tmp_path, body)


def test_options_that_the_daemon_has_for_new_networks_hold_unless_they_say_otherwise(tmp_path: Path) -> None:
    mtu = "com.docker.network.driver.mtu"

    def run() -> None:
        host = Playground(tmp_path, options=NetworkOptions(new_networks={mtu: "1234"}))
        host.restore()
        create(host, "front")
        create(host, "back", options={mtu: "1300"})
        shown = {
            name: (host.networks.lister.inspect(name).options or {}).get(mtu) for name in ("bridge", "front", "back")
        }
        assert shown == {"bridge": "1500", "front": "1234", "back": "1300"}
        host.run("web", attachments=(Attachment(network="front"),))
        sandbox = host.networks.service.sandbox("web")
        assert sandbox is not None
        assert sandbox.endpoints[0].mtu == 1234

    in_network_namespace(run)


def test_the_part_to_give_out_of_a_default_network_without_an_address_is_the_whole(tmp_path: Path) -> None:
    def run() -> None:
        host = Playground(tmp_path, options=NetworkOptions(fixed_cidr="192.168.130.0/24"))
        host.restore()
        config = host.networks.lister.inspect("bridge").ipam.config or []
        assert [(one.subnet, one.gateway) for one in config] == [("192.168.130.0/24", "192.168.130.1")]
        _, opened = host.run("web")
        assert opened.sandbox.endpoints[0].ipv4 == "192.168.130.2/24"

    in_network_namespace(run)


def test_networks_are_known_by_their_names_however_they_were_asked_for(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        network = create(host, "front")
        asked = [network.id[:10], network.id, "front", "default", "none-of-these"]
        named = host.networks.service.by_name([Attachment(network=one, aliases=("www",)) for one in asked])
        assert [one.network for one in named] == ["front", "front", "front", "bridge", "none-of-these"]
        assert {one.aliases for one in named} == {("www",)}

    on_host(tmp_path, body)


def test_removing_a_network_leaves_no_trace(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        before = devices()
        network = create(host, "front")
        asyncio.run(host.networks.remover.remove("front"))
        assert devices() == before
        assert network.id not in host.store.rows
        with pytest.raises(NetworkNotFoundError, match="network front not found"):
            host.networks.lister.inspect("front")
        assert create(host, "again").pools[0].subnet == "172.18.0.0/16"

    on_host(tmp_path, body)


def test_a_network_in_use_or_predefined_cannot_be_removed(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "front")
        host.run("web", attachments=(Attachment(network="front"),))
        with pytest.raises(ActiveEndpointsError, match=r"network front has active endpoints \(name:\"web\" id:"):
            asyncio.run(host.networks.remover.remove("front"))
        with pytest.raises(PredefinedNetworkRemovalError):
            asyncio.run(host.networks.remover.remove("bridge"))
        host.networks.service.close_sandbox("web")
        assert asyncio.run(host.networks.remover.prune(Filters())) == ["front"]

    on_host(tmp_path, body)


def test_a_static_address_is_kept_and_cannot_be_had_twice(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "own", ipam=IPAM(config=[IPAMConfig(subnet="10.5.0.0/24", gateway="10.5.0.254")]))
        wanted = Attachment(network="own", ipv4="10.5.0.77", mac="02:11:22:33:44:55")
        _, opened = host.run("web", attachments=(wanted,))
        assert opened.sandbox.endpoints[0].ipv4 == "10.5.0.77/24"
        assert opened.sandbox.endpoints[0].mac == "02:11:22:33:44:55"
        with pytest.raises(AddressInUseError, match="Address already in use"):
            host.run("other", attachments=(wanted,))
        with pytest.raises(SubnetOverlapError, match="Pool overlaps with other one on this address space"):
            create(host, "clash", ipam=IPAM(config=[IPAMConfig(subnet="10.5.0.0/16")]))

    on_host(tmp_path, body)


def test_nothing_leaves_an_internal_network(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "vault", internal=True)
        first, _ = host.run("first", attachments=(Attachment(network="vault"),))
        second, opened = host.run("second", attachments=(Attachment(network="vault"),))
        outside = in_namespace(host.neighbour_fd, lambda: listen(port=9000))
        server = in_namespace(second, listen)
        assert not in_namespace(first, lambda: reaches(outside, NEIGHBOUR, 9000))
        address = opened.sandbox.endpoints[0].ipv4.partition("/")[0]
        assert in_namespace(first, lambda: reaches(server, address, 80))

    on_host(tmp_path, body)


def test_containers_of_a_network_without_icc_do_not_reach_each_other(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "strict", options={"com.docker.network.bridge.enable_icc": "false"})
        first, _ = host.run("first", attachments=(Attachment(network="strict"),))
        second, opened = host.run("second", attachments=(Attachment(network="strict"),))
        server = in_namespace(second, listen)
        address = opened.sandbox.endpoints[0].ipv4.partition("/")[0]
        assert not in_namespace(first, lambda: reaches(server, address, 80))
        assert reaches(server, address, 80)

    on_host(tmp_path, body)


def test_a_running_container_joins_a_network_and_leaves_its_first_one(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "front")
        web, _ = host.run("web")
        outside = in_namespace(host.neighbour_fd, lambda: listen(port=9000))
        asyncio.run(host.networks.connector.connect("front", "web", EndpointSettings(aliases=["www"])))
        with pytest.raises(AlreadyAttachedError):
            asyncio.run(host.networks.connector.connect("front", "web", None))
        friend, _ = host.run("friend", attachments=(Attachment(network="front"),))
        server = in_namespace(web, listen)
        assert in_namespace(friend, lambda: reaches(server, "172.18.0.2", 80))
        assert "172.18.0.2\tweb\n" in host.containers.read_file("web", "hosts")
        asyncio.run(host.networks.connector.disconnect("bridge", "web", force=False))
        # The default route has moved to the network that is left.
        assert in_namespace(web, lambda: reaches(outside, NEIGHBOUR, 9000))
        assert "172.17.0.2" not in host.containers.read_file("web", "hosts")
        assert list(host.networks.lister.inspect("front").containers or ()) == ["web", "friend"]
        assert host.networks.lister.inspect("bridge").containers == {}

    on_host(tmp_path, body)


def named(interface: str) -> EndpointSettings:
    return EndpointSettings(driver_opts={"com.docker.network.endpoint.ifname": interface})


def test_an_interface_has_the_name_that_was_asked_for(tmp_path: Path) -> None:
    def interfaces(host: Playground) -> dict[str, str]:
        sandbox = host.networks.service.sandbox("web")
        return {one.network_name: one.interface for one in sandbox.endpoints} if sandbox else {}

    def body(host: Playground) -> None:
        connector = host.networks.connector
        for name in ("front", "back", "side"):
            create(host, name)
        chosen = read_attachments({"front": named("eth1"), "back": EndpointSettings()}, mode="front")
        web, _ = host.run("web", attachments=chosen)
        # The others take what is left.
        assert interfaces(host) == {"front": "eth1", "back": "eth0"}
        with pytest.raises(InterfaceTakenError, match=r"error renaming interface .*: file exists"):
            asyncio.run(connector.connect("side", "web", named("eth0")))
        with pytest.raises(InvalidAttachmentError, match="invalid interface name: a/b"):
            asyncio.run(connector.connect("side", "web", named("a/b")))
        asyncio.run(connector.connect("side", "web", named("uplink")))
        assert in_namespace(web, devices) == {"lo", "eth0", "eth1", "uplink"}
        asyncio.run(connector.disconnect("back", "web", force=False))
        asyncio.run(connector.connect("back", "web", None))
        assert interfaces(host) == {"front": "eth1", "side": "uplink", "back": "eth0"}

    on_host(tmp_path, body)


def test_a_resolver_does_not_ask_itself(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "front")
        host.run("web", attachments=(Attachment(network="front"),), dns=("127.0.0.11", "192.0.2.1"))
        (written,) = tmp_path.rglob("resolvers/web.json")
        assert json.loads(written.read_text())["upstream"] == [{"server": "192.0.2.1", "inside": True}]

    on_host(tmp_path, body)


def test_a_container_that_does_not_run_forgets_a_network_that_is_gone(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        host.containers.known["web"] = ContainerNetworks(
            id="web",
            name="web",
            hostname="web",
            mode="front",
            running=False,
            attachments=(Attachment(network="front"),),
        )
        disconnect = host.networks.connector.disconnect
        with pytest.raises(NetworkNotFoundError, match="network front not found"):
            asyncio.run(disconnect("front", "web", force=False))
        asyncio.run(disconnect("front", "web", force=True))
        assert host.containers.known["web"].attachments == ()
        with pytest.raises(NetworkNotFoundError, match="network front not found"):
            asyncio.run(disconnect("front", "web", force=True))

    on_host(tmp_path, body)


def test_name_servers_that_were_chosen_are_kept_wherever_they_are(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        host.run("web", dns=("127.0.0.1", "2001:db8::1"))
        lines = host.containers.read_file("web", "resolv.conf").splitlines()
        assert lines[:2] == ["nameserver 127.0.0.1", "nameserver 2001:db8::1"]

    on_host(tmp_path, body)


def test_connections_of_one_container_at_the_same_time_are_all_made(tmp_path: Path) -> None:
    async def connect_all(host: Playground) -> None:
        connector = host.networks.connector
        await asyncio.gather(*(connector.connect(name, "web", None) for name in ("front", "back", "side")))

    def body(host: Playground) -> None:
        for name in ("front", "back", "side"):
            create(host, name)
        web, _ = host.run("web")
        asyncio.run(connect_all(host))
        sandbox = host.networks.service.sandbox("web")
        assert sandbox is not None
        assert [one.network_name for one in sandbox.endpoints] == ["bridge", "front", "back", "side"]
        assert [one.network for one in host.containers.known["web"].attachments] == ["bridge", "front", "back", "side"]
        assert in_namespace(web, devices) == {"lo", *(one.interface for one in sandbox.endpoints)}

    on_host(tmp_path, body)


def test_a_client_that_leaves_does_not_undo_half_a_removal(tmp_path: Path) -> None:
    async def remove_and_leave(host: Playground) -> None:
        request = asyncio.create_task(host.networks.remover.remove("front"))
        while host.networks.lister.list(filters=Filters({"name": ("^front$",)})):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        request.cancel()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def body(host: Playground) -> None:
        network = create(host, "front")
        asyncio.run(remove_and_leave(host))
        assert network.bridge not in devices()
        assert network.id not in host.store.rows
        assert host.events.events[-1] == ("network", "destroy", "front")

    on_host(tmp_path, body)


def test_a_network_whose_device_stays_goes_on_working(tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise BridgeError(f"cannot delete bridge {name}: Device or resource busy")

    def body(host: Playground) -> None:
        create(host, "front")
        # This is a child of the test's process: nobody else sees the change.
        bridge.delete = refuse
        with pytest.raises(BridgeError):
            asyncio.run(host.networks.remover.remove("front"))
        web, _ = host.run("web", attachments=(Attachment(network="front"),))
        outside = in_namespace(host.neighbour_fd, lambda: listen(port=9000))
        assert in_namespace(web, lambda: reaches(outside, NEIGHBOUR, 9000)) == HOST_ON_LAN

    on_host(tmp_path, body)


def test_a_published_port_follows_the_default_route(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "front")
        web, opened = host.run("web", ports={"80/tcp": (PortBinding(host_port="8080"),)})
        server = in_namespace(web, listen)
        connector = host.networks.connector
        asyncio.run(connector.connect("front", "web", None))
        asyncio.run(connector.disconnect("bridge", "web", force=False))
        assert in_namespace(host.neighbour_fd, lambda: reaches(server, HOST_ON_LAN, 8080))
        asyncio.run(connector.disconnect("front", "web", force=False))
        assert not reaches(server, HOST_ON_LAN, 8080)
        # Somebody else's address now: the port must not lead there, even after a restart.
        host.run("stranger", attachments=(Attachment(network="front"),))
        sandbox = host.networks.service.sandbox("web")
        host.live = [sandbox] if sandbox else []
        host.networks.close()
        host.networks = host.assemble()
        host.restore()
        assert not reaches(server, HOST_ON_LAN, 8080)
        asyncio.run(host.networks.connector.connect("bridge", "web", None))
        assert in_namespace(host.neighbour_fd, lambda: reaches(server, HOST_ON_LAN, 8080))
        host.networks.service.close_sandbox("web")
        opened.close_listeners()
        assert host.run("next", ports={"80/tcp": (PortBinding(host_port="8080"),)})

    on_host(tmp_path, body)


def test_the_gateway_priority_chooses_the_default_route(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "front")
        _, opened = host.run(
            "web", attachments=(Attachment(network="bridge"), Attachment(network="front", gateway_priority=5))
        )
        routed = {one.network_name: one.default_route4 for one in opened.sandbox.endpoints}
        assert routed == {"bridge": False, "front": True}

    on_host(tmp_path, body)


def test_a_link_needs_a_running_container(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        host.run("db")
        host.run("web", links=("db:sql",))
        assert "172.17.0.2\tsql db\n" in host.containers.read_file("web", "hosts")
        with pytest.raises(LinkedContainerError, match="Cannot link to a non running container: /gone AS /other/sql"):
            host.run("other", links=("gone:sql",))

    on_host(tmp_path, body)


def test_the_zone_of_a_network_names_its_running_containers(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        network = create(host, "front")
        _, opened = host.run("web", attachments=(Attachment(network="front", aliases=("www",)),))
        zone = tmp_path / "networks" / "zones" / f"{network.id}.json"
        assert json.loads(zone.read_text())["holders"] == [{"names": ["web", "www"], "addresses": ["172.18.0.2"]}]
        assert host.containers.read_file("web", "resolv.conf").startswith("nameserver 127.0.0.11\n")
        resolver = json.loads(Path(host.networks.service.resolution.path_of(opened.sandbox)).read_text())
        assert resolver["zones"] == [{"file": str(zone), "network": "front"}]
        host.networks.service.close_sandbox("web")
        assert json.loads(zone.read_text())["holders"] == []

    on_host(tmp_path, body)


def test_a_network_with_ipv6_gives_both_families(tmp_path: Path) -> None:
    def body(host: Playground) -> None:
        create(host, "six", enable_ipv6=True)
        web, opened = host.run("web", attachments=(Attachment(network="six"),))
        friend, _ = host.run("friend", attachments=(Attachment(network="six"),))
        address = opened.sandbox.endpoints[0].ipv6.partition("/")[0]
        assert address.startswith("fd")
        server = in_namespace(web, lambda: listen("::"))
        # The first question for a neighbour may come before the bridge forwards; the kernel repeats it after a second.
        assert in_namespace(friend, lambda: any(reaches(server, address, 80) for _ in range(3)))
        assert reaches(server, address, 80)

    on_host(tmp_path, body)
