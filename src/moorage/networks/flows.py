"""Make UDP flows notice that a port leads elsewhere.

The kernel decides where a flow goes by its first packet and remembers it as long as
packets come. So flows that lead elsewhere are forgotten when a port is published, for
clients that did not wait for the container; and those that lead to a container when its
port is freed, or they would end up with the next container that gets the address.
"""

import concurrent.futures
import contextlib
import socket
from collections.abc import Callable, Sequence

from moorage.netlink import conntrack
from moorage.netlink.socket import NETLINK_NETFILTER, NetlinkSocket
from moorage.networks.models import PublishedPort


class Flows:
    """Forgets flows on a thread of its own: the kernel walks its whole table, which takes milliseconds.

    TCP needs none of it: its connections end when nobody knows them.
    """

    def __init__(self) -> None:
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None

    def published(self, ports: Sequence[PublishedPort]) -> None:
        """Forget flows to these ports that were not translated to their containers."""
        self._forget(ports, lambda answerer, port: answerer != port.target_ip)

    def freed(self, ports: Sequence[PublishedPort]) -> None:
        """Forget flows to these ports that were translated to their containers."""
        self._forget(ports, lambda answerer, port: answerer == port.target_ip)

    def close(self) -> None:
        """Finish what was asked for."""
        if self._executor is not None:
            self._executor.shutdown()

    def _forget(self, ports: Sequence[PublishedPort], stale: Callable[[str, PublishedPort], bool]) -> None:
        affected = [one for one in ports if one.protocol == "udp" and one.translated]
        if not affected:
            return
        if self._executor is None:
            self._executor = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="flows")
        self._executor.submit(_forget, affected, stale)


def _forget(ports: Sequence[PublishedPort], stale: Callable[[str, PublishedPort], bool]) -> None:
    # A kernel before 5.8, or one without connection tracking, cannot do it: there such
    # flows end when their client pauses for half a minute.
    with contextlib.suppress(OSError), NetlinkSocket(NETLINK_NETFILTER) as netlink:
        for port in ports:
            family = socket.AF_INET6 if ":" in port.host_ip else socket.AF_INET
            for flow in conntrack.datagram_flows(netlink, port=port.host_port, family=family):
                if stale(flow.answerer, port):
                    with contextlib.suppress(FileNotFoundError):
                        netlink.send(conntrack.delete(flow))
