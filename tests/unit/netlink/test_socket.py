"""Asking the kernel, which answers a list in parts."""

import struct

import pytest

from moorage.netlink import codec
from moorage.netlink.socket import NetlinkSocket

_MULTI = 0x002
_HEADER = struct.Struct("=IHHII")
_KIND = 24


class Kernel:
    """A socket whose other end answers each query with the next of the prepared dumps.

    Args:
        dumps: Bodies, and whether the list changed meanwhile.
    """

    def __init__(self, *dumps: tuple[list[bytes], bool]) -> None:
        self._dumps = list(dumps)
        self._answers: list[bytes] = []
        self.queries = 0

    def send(self, query: bytes) -> None:
        self.queries += 1
        sequence = _HEADER.unpack_from(query)[3]
        bodies, changed = self._dumps.pop(0) if len(self._dumps) > 1 else self._dumps[0]
        flags = _MULTI | (codec.NLM_F_DUMP_INTR if changed else 0)
        self._answers = [_message(_KIND, flags, sequence, body) for body in bodies]
        self._answers.append(_message(codec.NLMSG_DONE, flags, sequence, bytes(4)))

    def recv(self, _size: int, _flags: int) -> bytes:
        return self._answers.pop(0)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def ask(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> list[bytes]:
    monkeypatch.setattr("moorage.netlink.socket._open", lambda _protocol: kernel)
    return NetlinkSocket().request(codec.Message(_KIND, codec.NLM_F_DUMP, b"", about="list"))


def test_list_that_changed_while_it_was_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(([b"one "], True), ([b"one ", b"two "], False))
    assert ask(monkeypatch, kernel) == [b"one ", b"two "]
    assert kernel.queries == 2


def test_list_that_never_rests_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(([b"one "], True))
    assert ask(monkeypatch, kernel) == [b"one "]
    assert kernel.queries < 10
