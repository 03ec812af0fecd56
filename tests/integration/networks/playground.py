"""A host with a neighbour on its LAN and containers on its bridges, all in namespaces of one process.

A socket belongs to the namespace it was made in, so one thread can be all parties.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from moorage.kernel.namespaces import CloneFlag, open_namespace, setns, unshare
from moorage.netlink import address, interface, link, route
from moorage.netlink.socket import NetlinkSocket
from moorage.networks.assembly import Networks
from moorage.networks.models import Attachment, ContainerNetworks, NetworkOptions, PortBinding, Sandbox, SandboxRequest
from moorage.networks.sandboxes import OpenedSandbox
from moorage.state.networks import NetworkRow
from tests.support.slowness import stretched

T = TypeVar("T")
HOST_ON_LAN = "198.51.100.1"
NEIGHBOUR = "198.51.100.2"


@dataclass
class MemoryStore:
    """The table of networks, without the database."""

    rows: dict[str, NetworkRow] = field(default_factory=dict)

    def all(self) -> list[NetworkRow]:
        return list(self.rows.values())

    async def insert(self, row: NetworkRow) -> None:
        self.rows[row.id] = row

    async def update(self, row: NetworkRow) -> None:
        self.rows[row.id] = row

    async def delete(self, network_id: str) -> None:
        self.rows.pop(network_id, None)


@dataclass
class RecordedEvents:
    """Events that were published."""

    events: list[tuple[str, str, str]] = field(default_factory=list)

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None) -> None:
        self.events.append((kind, action, (attributes or {}).get("name", actor_id)))


@dataclass
class FakeContainers:
    """The engine and its shims: containers are namespaces here."""

    namespaces: dict[str, int] = field(default_factory=dict)
    known: dict[str, ContainerNetworks] = field(default_factory=dict)
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def find(self, reference: str) -> ContainerNetworks:
        return self.known[reference]

    @contextlib.asynccontextmanager
    async def hold(self, container_id: str) -> AsyncIterator[None]:
        async with self.locks.setdefault(container_id, asyncio.Lock()):
            yield

    async def save_attachments(
        self, container_id: str, attachments: tuple[Attachment, ...], sandbox: Sandbox | None
    ) -> None:
        # As the database does, and the shim below: others may come in between.
        await asyncio.sleep(0)
        old = self.known[container_id]
        self.known[container_id] = ContainerNetworks(
            id=old.id,
            name=old.name,
            hostname=old.hostname,
            mode=old.mode,
            running=old.running,
            attachments=attachments,
            sandbox=sandbox,
        )

    async def plug(self, container_id: str, interface: dict[str, object]) -> None:
        await asyncio.sleep(0)
        _connect([interface], self.namespaces[container_id])

    async def unplug(self, container_id: str, name: str) -> None:
        await asyncio.sleep(0)
        interface.disconnect(name, namespace_fd=self.namespaces[container_id])

    def read_file(self, container_id: str, name: str) -> str:
        return self.files.get((container_id, name), "")

    def write_file(self, container_id: str, name: str, content: str) -> None:
        self.files[container_id, name] = content


class Background:
    """Runs changes beside those who wait for them."""

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(work)


def _connect(plans: list[dict[str, object]], namespace_fd: int) -> None:
    interface.connect(plans, namespace_fd=namespace_fd)


class Playground:
    """Networks on this namespace as the host; call it inside `in_network_namespace`."""

    def __init__(self, directory: Path, *, options: NetworkOptions | None = None) -> None:
        self.directory = directory
        self.options = options or NetworkOptions()
        self.store = MemoryStore()
        self.containers = FakeContainers()
        self.events = RecordedEvents()
        with NetlinkSocket() as netlink:
            netlink.send(link.up(link.LOOPBACK_INDEX))
        self.neighbour_fd = new_namespace()
        self._join_lan()
        self.networks = self.assemble()
        self.live: list[Sandbox] = []

    def assemble(self) -> Networks:
        """Return services that start from the store, as a restarted daemon does."""
        return Networks.assemble(
            store=self.store,
            options=self.options,
            events=self.events,
            containers=self.containers,
            background=Background(),
            run_root=self.directory,
        )

    def restore(self) -> None:
        """Start the daemon's part."""
        asyncio.run(self.networks.service.restore(self.live))

    def run(
        self,
        name: str,
        *,
        ports: Mapping[str, tuple[PortBinding, ...]] | None = None,
        attachments: tuple[Attachment, ...] = (Attachment(network="bridge"),),
        **more: object,
    ) -> tuple[int, OpenedSandbox]:
        """Start a container; return its namespace and what was opened for it."""
        request = SandboxRequest(
            container_id=name,
            container_name=name,
            hostname=name,
            attachments=attachments,
            port_bindings=ports or {},
            **more,  # type: ignore[arg-type]
        )
        opened = self.networks.service.open_sandbox(request)
        namespace_fd = new_namespace()
        fields = self.networks.service.launch_fields(opened.sandbox)
        _connect(fields["interfaces"], namespace_fd)  # type: ignore[arg-type]
        for file, content in self.networks.service.files(request, opened.sandbox).items():
            self.containers.write_file(name, file, content)
        self.containers.namespaces[name] = namespace_fd
        self.containers.known[name] = ContainerNetworks(
            id=name, name=name, hostname=name, mode="bridge", running=True, attachments=attachments
        )
        return namespace_fd, opened

    def _join_lan(self) -> None:
        with NetlinkSocket() as netlink:
            netlink.send(link.bridge("lan0", mac="02:00:00:00:00:01", mtu=1500))
            netlink.send(address.add(socket.if_nametoindex("lan0"), address=f"{HOST_ON_LAN}/24"))
        plan = {
            "host": "lan1",
            "name": "eth0",
            "mac": "02:00:00:00:00:02",
            "mtu": 1500,
            "bridge": "lan0",
            "addresses": [f"{NEIGHBOUR}/24"],
            "gateways": [],
        }
        _connect([plan], self.neighbour_fd)


def new_namespace() -> int:
    """Return the descriptor of a new network namespace; it lives as long as something refers to it."""
    own_fd = open_namespace("self", "network")
    try:
        unshare(CloneFlag.NEWNET)
        made_fd = open_namespace("self", "network")
        setns(own_fd, CloneFlag.NEWNET)
    finally:
        os.close(own_fd)
    return made_fd


@contextlib.contextmanager
def inside(namespace_fd: int) -> Iterator[None]:
    """Be in another network namespace for a while."""
    own_fd = open_namespace("self", "network")
    setns(namespace_fd, CloneFlag.NEWNET)
    try:
        yield
    finally:
        setns(own_fd, CloneFlag.NEWNET)
        os.close(own_fd)


def in_namespace(namespace_fd: int, call: Callable[[], T]) -> T:
    """Return what a call returns in another network namespace."""
    with inside(namespace_fd):
        return call()


def listen(ip: str = "0.0.0.0", port: int = 80, *, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a server's socket."""
    server = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((ip, port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    server.settimeout(stretched(2))
    return server


def reaches(server: socket.socket, ip: str, port: int) -> str:
    """Connect to a published port, and return the address the server sees; "" if nothing came through."""
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(stretched(1))
        try:
            client.connect((ip, port))
        except OSError:
            return ""
        server.settimeout(0.3)
        try:
            accepted, peer = server.accept()
        except TimeoutError:
            # Somebody else took the connection: the listener that reserves the port.
            return ""
        with accepted:
            accepted.sendall(b"hello")
            assert client.recv(5) == b"hello"
        return str(peer[0])


def default_route(namespace_fd: int, gateway: str) -> None:
    """Give a namespace a default route through its eth0."""
    with NetlinkSocket(namespace_fd=namespace_fd) as netlink:
        netlink.send(route.add(link.get(netlink, name="eth0").index, gateway=gateway))
