"""Measure what networks cost at a container's start: interfaces, ports, sandboxes, questions.

Runs as root in a fresh network namespace, so it changes nothing on the host. Microseconds,
minimum and median:

    python bench/network_ops.py
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from moorage.kernel.namespaces import CloneFlag, open_namespace, setns, unshare
from moorage.netlink import interface, link
from moorage.netlink.socket import NetlinkSocket
from moorage.networks import firewall
from moorage.networks.assembly import Networks
from moorage.networks.firewall_table import FirewallTable
from moorage.networks.models import Attachment, NetworkOptions, PortBinding, PublishedPort, SandboxRequest
from moorage.state.networks import NetworkRow

ROUNDS = 60


class Nowhere:
    """A store, a bus and an engine that do nothing."""

    def all(self) -> list[NetworkRow]:
        """Return no rows."""
        return []

    async def insert(self, row: NetworkRow) -> None:
        """Forget a row."""

    def publish(self, *_: object) -> None:
        """Forget an event."""


def timed(call: Callable[[], object]) -> float:
    """Return the microseconds of a call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def show(name: str, samples: list[float]) -> None:
    """Print one line."""
    print(f"{name:42} {min(samples):8.0f} {statistics.median(samples):8.0f}")


def namespaces(count: int) -> list[int]:
    """Return descriptors of new network namespaces."""
    own_fd = open_namespace("self", "network")
    made = []
    for _ in range(count):
        unshare(CloneFlag.NEWNET)
        made.append(open_namespace("self", "network"))
        setns(own_fd, CloneFlag.NEWNET)
    return made


def measure_sandboxes(networks: Networks, *, publish: bool) -> None:
    """Measure opening and closing sandboxes, and making their interfaces."""
    opened_in: list[float] = []
    connected_in: list[float] = []
    closed_in: list[float] = []
    for number, namespace_fd in enumerate(namespaces(ROUNDS)):
        ports = {"80/tcp": (PortBinding(host_ip="0.0.0.0", host_port=str(20000 + number)),)} if publish else {}
        request = SandboxRequest(
            container_id=f"{number:064x}",
            container_name=f"c{number}",
            hostname=f"c{number}",
            attachments=(Attachment(network="bridge"),),
            port_bindings=ports,
        )
        start = time.perf_counter()
        opened = networks.service.open_sandbox(request)
        networks.service.files(request, opened.sandbox)
        plans = networks.service.launch_fields(opened.sandbox)["interfaces"]
        opened_in.append((time.perf_counter() - start) * 1e6)
        connected_in.append(timed(lambda: interface.connect(plans, namespace_fd=namespace_fd)))  # type: ignore[arg-type]  # noqa: B023
        closed_in.append(timed(lambda: networks.service.close_sandbox(request.container_id)))  # noqa: B023
        opened.close_listeners()
        os.close(namespace_fd)
    suffix = ", with a port" if publish else ""
    show(f"sandbox: addresses, plan, files{suffix}", opened_in)
    if not publish:
        show("interface: veth, addresses, routes, up", connected_in)
    show(f"sandbox: release{suffix}", closed_in)


def measure_ports() -> None:
    """Measure single elements of the table, with many others in it."""
    table = FirewallTable(firewall.table_of("bench0"))
    ports = [
        PublishedPort(protocol="tcp", host_ip="0.0.0.0", host_port=1000 + number, target_ip="10.0.0.1", target_port=80)
        for number in range(1000)
    ]
    show(
        "firewall: 1000 ports, whole table",
        [timed(lambda: table.restore(networks=[], ports=ports, forward_guard=False))],
    )
    extra = [PublishedPort(protocol="tcp", host_ip="0.0.0.0", host_port=99, target_ip="10.0.0.1", target_port=80)]
    added, removed = [], []
    for _ in range(ROUNDS):
        added.append(timed(lambda: table.publish(extra)))
        removed.append(timed(lambda: table.unpublish(extra)))
    show("firewall: publish one port", added)
    show("firewall: unpublish one port", removed)


def main() -> None:
    """Measure everything."""
    unshare(CloneFlag.NEWNET)
    with NetlinkSocket() as netlink:
        netlink.send(link.up(link.LOOPBACK_INDEX))
    nowhere = Nowhere()
    with tempfile.TemporaryDirectory() as directory:
        networks = Networks.assemble(
            store=nowhere,  # type: ignore[arg-type]
            options=NetworkOptions(),
            events=nowhere,
            containers=nowhere,  # type: ignore[arg-type]
            run_root=Path(directory),
        )
        asyncio.run(networks.service.restore([]))
        print(f"{'':42} {'min':>8} {'median':>8}")
        measure_sandboxes(networks, publish=False)
        measure_sandboxes(networks, publish=True)
        measure_ports()


if __name__ == "__main__":
    main()
