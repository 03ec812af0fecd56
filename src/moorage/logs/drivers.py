"""The drivers that send messages to a server, and what each does when that is gone.

Standard library only: they run beside the shim, in a process that does nothing else and so
may wait.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from moorage.kernel.memfd import MFD_ALLOW_SEALING, MFD_CLOEXEC, Seal, add_seals, memfd_create
from moorage.logs import gelf, journald
from moorage.logs.connection import Address, Connection, DialError
from moorage.logs.fluentd import ForwardEncoder, read_ack
from moorage.logs.syslog import SyslogEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from moorage.logs.messages import Message
    from moorage.logs.patience import Patience

    class Driver(Protocol):
        """What the delivery needs of a driver."""

        def start(self) -> None:
            """Connect, if the driver does so at its start; OSError says why it cannot."""

        def deliver(self, messages: Sequence[Message]) -> None:
            """Send messages; OSError says that some of them are lost."""

        def close(self) -> None:
            """Hang up."""


_LOCAL_SYSLOG = ("/dev/log", "/var/run/syslog", "/var/run/log")
_GROWTH = 1.5
_LONGEST_WAIT = 60.0
_TOO_LARGE = frozenset({errno.EMSGSIZE, errno.ENOBUFS})


def open_driver(plan: Mapping[str, Any], patience: Patience) -> Driver:
    """Return the driver that a launch plan asks for.

    Raises:
        ValueError: There is no such driver.
    """
    match plan["driver"]:
        case "syslog":
            return SyslogDriver(plan, patience)
        case "journald":
            return JournaldDriver(plan, patience)
        case "gelf":
            return GelfDriver(plan, patience)
        case "fluentd":
            return FluentdDriver(plan, patience)
        case other:
            raise ValueError(f"no such log driver: {other}")


class SyslogDriver:
    """Sends to a syslog server; a lost connection is made anew once for each try to send."""

    __slots__ = ("_connection", "_encoder", "_patience", "_plan")

    def __init__(self, plan: Mapping[str, Any], patience: Patience) -> None:
        self._plan = plan
        self._patience = patience
        self._encoder = SyslogEncoder(plan)
        self._connection: Connection | None = None

    def start(self) -> None:
        """Connect.

        Raises:
            DialError: There is no way to the server.
        """
        self._open()

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send messages.

        Raises:
            DialError: The server is gone, and with it these messages.
        """
        packets = self._encoder.encode(messages)
        connection = self._connection
        if connection is None or connection.has_ended():
            connection = self._open()
        while packets:
            packets = packets[connection.send(packets) :]
            if packets:
                connection = self._open()
                sent = connection.send(packets)
                if not sent:
                    self.close()
                    raise DialError("the syslog server takes nothing")
                packets = packets[sent:]

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        self.close()
        if "address" in self._plan:
            connection = Connection(Address(self._plan["address"]), self._patience)
            connection.open()
            self._connection = connection
            return connection
        for network in ("unixgram", "unix"):
            for path in _LOCAL_SYSLOG:
                connection = Connection(Address({"network": network, "path": path}), self._patience)
                with contextlib.suppress(DialError):
                    connection.open()
                    self._connection = connection
                    return connection
        raise DialError("Unix syslog delivery error")


class JournaldDriver:
    """Sends to systemd's journal."""

    __slots__ = ("_connection", "_encoder")

    def __init__(self, plan: Mapping[str, Any], patience: Patience) -> None:
        path = plan.get("path", journald.SOCKET)
        self._connection = Connection(Address({"network": "unixgram", "path": path}), patience)
        self._encoder = journald.JournalEncoder(plan["fields"])

    def start(self) -> None:
        """Find the journal.

        Raises:
            DialError: There is none.
        """
        try:
            self._connection.open()
        except DialError as error:
            raise DialError("journald is not enabled on this host") from error

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send messages.

        Raises:
            OSError: The journal is gone.
        """
        for entry in self._encoder.encode(messages):
            try:
                self._send(entry)
            except ConnectionError:
                # It was started anew, with another socket.
                self._connection.open()
                self._send(entry)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _send(self, entry: bytes) -> None:
        if not self._connection.is_open:
            self._connection.open()
        try:
            self._connection.send_datagram(entry)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._send_as_file(entry)

    def _send_as_file(self, entry: bytes) -> None:
        fd = memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING)
        try:
            view = memoryview(entry)
            while view:
                view = view[os.write(fd, view) :]
            # The journal takes no file that could change while it reads.
            add_seals(fd, Seal.SEAL | Seal.SHRINK | Seal.GROW | Seal.WRITE)
            self._connection.send_datagram(b"", fds=[fd])
        finally:
            os.close(fd)


class GelfDriver:
    """Sends to a Graylog server."""

    __slots__ = ("_address", "_connection", "_encoder", "_patience", "_plan")

    def __init__(self, plan: Mapping[str, Any], patience: Patience) -> None:
        self._plan = plan
        self._patience = patience
        self._address = Address(plan["address"])
        self._connection = Connection(self._address, patience)
        self._encoder = gelf.GelfEncoder(plan["hostname"], plan["extra"])

    def start(self) -> None:
        """Connect.

        Raises:
            DialError: There is no way to the server.
        """
        try:
            self._connection.open()
        except DialError as error:
            raise DialError(f"gelf: cannot connect to GELF endpoint: {self._address} {error}") from error

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send messages.

        Raises:
            OSError: Some of them are lost.
        """
        payloads = self._encoder.encode(messages)
        if self._address.is_datagram:
            self._deliver_datagrams(payloads)
        else:
            self._deliver_stream([payload + b"\0" for payload in payloads])

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _deliver_datagrams(self, payloads: Sequence[bytes]) -> None:
        failure: Exception | None = None
        for payload in payloads:
            try:
                if not self._connection.is_open:
                    self._connection.open()
                for packet in gelf.datagrams(payload, compression=self._plan["compression"], level=self._plan["level"]):
                    self._connection.send_datagram(packet)
            except (OSError, gelf.GelfTooLongError) as error:
                failure = error
        if failure is not None:
            raise OSError(f"gelf: cannot send GELF message: {failure}") from failure

    def _deliver_stream(self, packets: Sequence[bytes]) -> None:
        if self._connection.has_ended():
            self._connection.close()
        attempts = 0
        failure: OSError | str = "connection lost"
        while packets:
            if self._connection.is_open:
                if sent := self._connection.send(packets):
                    packets, attempts = packets[sent:], 0
                if not packets:
                    return
                self._connection.close()
            if attempts >= self._plan["max_reconnect"]:
                raise OSError(f"gelf: cannot send GELF message: maximum reconnection attempts was reached; {failure}")
            attempts += 1
            try:
                self._connection.open()
            except DialError as error:
                failure = error
                self._patience.pause(self._plan["reconnect_delay"])


class FluentdDriver:
    """Sends to a Fluentd server, and tries again for as long as its options say."""

    __slots__ = ("_connection", "_encoder", "_opened_at", "_patience", "_plan")

    def __init__(self, plan: Mapping[str, Any], patience: Patience) -> None:
        self._plan = plan
        self._patience = patience
        self._connection = Connection(Address(plan["address"]), patience, write_limit=plan["write_timeout"] or None)
        self._encoder = ForwardEncoder(
            plan["tag"], plan["record"], sub_second=plan["sub_second"], wants_ack=plan["request_ack"]
        )
        self._opened_at = 0.0

    def start(self) -> None:
        """Connect, unless that is left for later.

        Raises:
            DialError: There is no way to the server.
        """
        if not self._plan["async"]:
            self._open()

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send messages, trying again.

        Raises:
            OSError: As often as allowed: some of them are lost.
        """
        events = self._encoder.encode(messages)
        self._leave_old_connection()
        lost = attempts = 0
        while events:
            sent = self._try(events)
            events = events[sent:]
            attempts = 0 if sent else attempts + 1
            if attempts >= max(1, self._plan["max_retries"]):
                events = events[1:]
                lost += 1
                attempts = 0
            elif attempts:
                # The exponent is bounded: a float has an end.
                growth = _GROWTH ** min(attempts - 1, 50)
                self._patience.pause(min(self._plan["retry_wait"] * growth, _LONGEST_WAIT))
        if lost:
            retries = self._plan["max_retries"]
            raise OSError(f"fluent#write: failed to write after {retries} attempts, {lost} messages lost")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _open(self) -> None:
        self._connection.open()
        self._opened_at = time.monotonic()

    def _leave_old_connection(self) -> None:
        """Hang up if that is wanted from time to time, so that a name is looked up again."""
        interval = self._plan["reconnect_interval"]
        is_old = interval and time.monotonic() - self._opened_at >= interval
        if self._connection.is_open and (is_old or self._connection.has_ended()):
            self._connection.close()

    def _try(self, events: Sequence[tuple[bytes, str]]) -> int:
        """Send as many as go; return how many."""
        try:
            if not self._connection.is_open:
                self._open()
            if self._plan["request_ack"]:
                self._send_confirmed(*events[0])
                return 1
            sent = self._connection.send([event for event, _ in events])
        except OSError:
            self._connection.close()
            return 0
        if sent < len(events):
            self._connection.close()
        return sent

    def _send_confirmed(self, event: bytes, name: str) -> None:
        if not self._connection.send([event]):
            raise ConnectionError("connection lost")
        answer = b""
        while (confirmed := read_ack(answer)) != name:
            if confirmed:
                raise ConnectionError("another event was confirmed")
            received = self._connection.receive(seconds=self._plan["read_timeout"] or None)
            if not received:
                raise ConnectionError("EOF")
            answer += received
