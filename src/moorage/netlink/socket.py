"""The netlink socket: the only module of this package that does I/O.

The kernel works a request off inside send(), and its answer is queued when send()
returns. So nothing here ever waits, and an event loop may call it directly.
"""

from __future__ import annotations

import errno
import os
import socket

from moorage.kernel.namespaces import CloneFlag, setns
from moorage.netlink import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Final, Self

NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12

_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12
# The kernel never puts more than 32 KiB in one part of a dump.
_DUMP_BUFFER: Final = 1 << 16
_FURTHER_DUMPS: Final = 4
# An acknowledgement without its request, and a line of explanation.
_ACK_BUFFER: Final = 1 << 13


class NetlinkSocket:
    """A netlink socket, in the caller's network namespace or in another one."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int = NETLINK_ROUTE, *, namespace_fd: int = -1) -> None:
        """Open the socket.

        Args:
            namespace_fd: A network namespace's file. The calling thread enters it for
                the moment in which the socket is made: the socket belongs to it for good.
        """
        self._sequence = 0
        self._socket = _open(protocol) if namespace_fd < 0 else _open_inside(protocol, namespace_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, *messages: codec.Message) -> None:
        """Send messages in one system call, and check that the kernel did what they say.

        Routing messages are independent: those after a failed one are still executed.
        nf_tables messages between its batch markers are one transaction.

        Raises:
            OSError: The kernel's first refusal; its text has the kernel's explanation.
        """
        # Errors are always reported, acknowledgements only when asked for: asking for
        # the last one only saves a recv() per message.
        last = len(messages) - 1
        first_sequence = self._sequence + 1
        parts: list[bytes] = []
        for index, message in enumerate(messages):
            flags = codec.NLM_F_REQUEST | codec.NLM_F_ACK if index == last else codec.NLM_F_REQUEST
            parts.append(codec.header(message, flags=flags, sequence=first_sequence + index))
            parts.append(message.body)
        self._sequence += len(messages)
        self._socket.send(b"".join(parts))
        self._wait_acknowledged(messages, first_sequence)

    def send_batch(self, begin: codec.Message, messages: Sequence[codec.Message], end: codec.Message) -> None:
        """Send one nf_tables transaction: all of `messages`, or none.

        Raises:
            OSError: As `send`; then nothing has changed.
        """
        if not messages:
            return
        first = self._sequence
        parts = [codec.header(begin, flags=codec.NLM_F_REQUEST, sequence=first), begin.body]
        last = len(messages) - 1
        for index, message in enumerate(messages):
            flags = codec.NLM_F_REQUEST | codec.NLM_F_ACK if index == last else codec.NLM_F_REQUEST
            parts.append(codec.header(message, flags=flags, sequence=first + 1 + index))
            parts.append(message.body)
        parts.append(codec.header(end, flags=codec.NLM_F_REQUEST, sequence=first + 2 + last))
        parts.append(end.body)
        self._sequence = first + 2 + last
        self._grow_send_buffer(parts)
        self._socket.send(b"".join(parts))
        self._wait_acknowledged((begin, *messages), first)

    def request(self, message: codec.Message) -> list[bytes]:
        """Send a query, and return the bodies of all answers (one, or a dump).

        A dump during which the kernel's list has changed may have left out what did not
        change: it is asked for again, a few times at most, since some lists never rest.

        Raises:
            OSError: As `send`.
        """
        bodies, is_whole = self._query(message)
        for _ in range(_FURTHER_DUMPS):
            if is_whole:
                break
            bodies, is_whole = self._query(message)
        return bodies

    def _query(self, message: codec.Message) -> tuple[list[bytes], bool]:
        """Return all answers, and whether they show the list at one moment."""
        self._sequence += 1
        sequence = self._sequence
        flags = codec.NLM_F_REQUEST if message.flags & codec.NLM_F_DUMP else codec.NLM_F_REQUEST | codec.NLM_F_ACK
        self._socket.send(codec.header(message, flags=flags, sequence=sequence) + message.body)
        bodies: list[bytes] = []
        is_whole = True
        while True:
            for kind, answer_flags, answered, body in codec.messages(self._receive(_DUMP_BUFFER)):
                if answered != sequence:
                    continue
                is_whole &= not answer_flags & codec.NLM_F_DUMP_INTR
                if kind not in {codec.NLMSG_ERROR, codec.NLMSG_DONE}:
                    bodies.append(body)
                    continue
                if code := codec.error_number(body):
                    raise _failure(code, message, codec.error_text(body, answer_flags))
                return bodies, is_whole

    def _wait_acknowledged(self, messages: Sequence[codec.Message], first_sequence: int) -> None:
        last_sequence = first_sequence + len(messages) - 1
        failure: OSError | None = None
        while True:
            try:
                buffer = self._receive(_ACK_BUFFER)
            except BlockingIOError:
                # A transaction refused as a whole: the error came with the first
                # message's number, and nothing follows it.
                raise failure or OSError(errno.EPROTO, "the kernel did not acknowledge a netlink request") from None
            for kind, flags, sequence, body in codec.messages(buffer):
                if kind != codec.NLMSG_ERROR or not first_sequence <= sequence <= last_sequence:
                    continue
                code = codec.error_number(body)
                if code and failure is None:
                    failure = _failure(code, messages[sequence - first_sequence], codec.error_text(body, flags))
                if sequence == last_sequence:
                    if failure is not None:
                        raise failure
                    return

    def _receive(self, size: int) -> bytes:
        return self._socket.recv(size, socket.MSG_DONTWAIT)

    def _grow_send_buffer(self, parts: Sequence[bytes]) -> None:
        # A whole ruleset can be larger than the default 208 KiB; FORCE is allowed to
        # whoever may write firewall rules.
        size = sum(map(len, parts))
        if size > 100_000:
            so_sndbufforce = 32
            self._socket.setsockopt(socket.SOL_SOCKET, so_sndbufforce, size * 2)


def _open(protocol: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
        opened.setsockopt(_SOL_NETLINK, option, 1)
    return opened


def _open_inside(protocol: int, namespace_fd: int) -> socket.socket:
    own_fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace_fd, CloneFlag.NEWNET)
        try:
            return _open(protocol)
        finally:
            setns(own_fd, CloneFlag.NEWNET)
    finally:
        os.close(own_fd)


def _failure(code: int, message: codec.Message, explanation: str) -> OSError:
    text = os.strerror(code)
    if explanation:
        text = f"{text}: {explanation}"
    return OSError(code, f"{text} ({message.about})" if message.about else text)
