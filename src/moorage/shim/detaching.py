"""Recognising the detach keys in what a terminal's client types. Pure."""

from __future__ import annotations


class DetachKeys:
    """Looks for one key sequence in a stream that comes in pieces.

    The beginning of a possible sequence is held back until the next key tells: with the
    default keys a single ctrl-p reaches the container only together with what follows, as
    in Docker.
    """

    __slots__ = ("_held", "_sequence")

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the client wants to detach; keys after that are dropped."""
        if not self._sequence:
            return data, False
        data = self._held + data
        self._held = b""
        found = data.find(self._sequence)
        if found >= 0:
            return data[:found], True
        for length in range(min(len(self._sequence) - 1, len(data)), 0, -1):
            if data.endswith(self._sequence[:length]):
                self._held = data[-length:]
                return data[:-length], False
        return data, False

    def finish(self) -> bytes:
        """Return what was held back when the stream ends."""
        held, self._held = self._held, b""
        return held
