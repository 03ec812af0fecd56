"""The kernel's copy of our firewall table, and keeping it right.

The daemon knows what the table must hold. When the table is gone (an administrator may
have flushed the whole ruleset), the next change puts all of it back.
"""

import errno
from collections.abc import Iterable, Sequence

from moorage.netlink import nftables
from moorage.netlink.codec import Message
from moorage.netlink.socket import NETLINK_NETFILTER, NetlinkSocket
from moorage.networks import firewall
from moorage.networks.errors import FirewallError
from moorage.networks.firewall import FilteredNetwork
from moorage.networks.models import PublishedPort


class FirewallTable:
    """The table of one daemon; every method is one atomic change."""

    def __init__(self, table: nftables.Table) -> None:
        self._table = table
        self._socket = NetlinkSocket(NETLINK_NETFILTER)
        self._networks: dict[str, FilteredNetwork] = {}
        self._ports: dict[tuple[str, str, int], PublishedPort] = {}
        self._forward_guard = False

    def restore(
        self, *, networks: Iterable[FilteredNetwork], ports: Iterable[PublishedPort], forward_guard: bool
    ) -> None:
        """Make the table hold exactly this.

        Raises:
            FirewallError: The kernel refused it; the table is as it was.
        """
        self._networks = {network.bridge: network for network in networks}
        self._ports = {_key(port): port for port in ports}
        self._forward_guard = forward_guard
        self._replace_all()

    def add_network(self, network: FilteredNetwork) -> None:
        """Let a network's packets pass.

        Raises:
            FirewallError: The kernel refused it.
        """
        self._networks[network.bridge] = network
        try:
            self._change(firewall.add_network(self._table, network))
        except FirewallError:
            del self._networks[network.bridge]
            raise

    def remove_network(self, bridge: str) -> None:
        """Forget a network; an unknown one is no error.

        Raises:
            FirewallError: The kernel refused it.
        """
        if network := self._networks.pop(bridge, None):
            try:
                self._change(firewall.remove_network(self._table, network))
            except FirewallError:
                self._networks[bridge] = network
                raise

    def publish(self, ports: Sequence[PublishedPort]) -> None:
        """Translate these ports.

        Raises:
            FirewallError: The kernel refused it; none of them is translated.
        """
        self._ports |= {_key(port): port for port in ports}
        try:
            self._change(firewall.publish(self._table, ports))
        except FirewallError:
            for port in ports:
                del self._ports[_key(port)]
            raise

    def unpublish(self, ports: Sequence[PublishedPort]) -> None:
        """Translate these ports no longer; unknown ones are no error.

        Raises:
            FirewallError: The kernel refused it.
        """
        known = [port for port in ports if self._ports.pop(_key(port), None)]
        self._change(firewall.unpublish(self._table, known))

    def close(self) -> None:
        """Close the socket; the table stays, because containers outlive the daemon."""
        self._socket.close()

    def _change(self, messages: Sequence[Message]) -> None:
        try:
            nftables.commit(self._socket, messages)
        except FileNotFoundError:
            self._replace_all()
        except OSError as error:
            raise FirewallError(f"cannot change the firewall: {error.strerror}") from error

    def _replace_all(self) -> None:
        ports = list(self._ports.values())
        messages = firewall.replace_all(
            self._table, networks=self._networks.values(), ports=ports, forward_guard=self._forward_guard
        )
        try:
            nftables.commit(self._socket, messages)
        except OSError as error:
            hint = " (is nf_tables in the kernel?)" if error.errno in {errno.ENOENT, errno.EOPNOTSUPP} else ""
            raise FirewallError(f"cannot set up the firewall: {error.strerror}{hint}") from error


def _key(port: PublishedPort) -> tuple[str, str, int]:
    return port.protocol, port.host_ip, port.host_port
