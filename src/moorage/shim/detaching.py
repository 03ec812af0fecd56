"""Recognising the detach keys in what a terminal's client types. Pure."""

from __future__ import annotations


class DetachKeys:
    """Looks for one key sequence in a stream that comes in pieces.

    The beginning of a possible sequence is held back until the next key tells: with the
    default keys a single ctrl-p reaches the container only together with what follows, as
    in Docker. As there, the key that breaks a sequence begins no new one.
    """

    __slots__ = ("_position", "_sequence")

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._position = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the client wants to detach; keys after that are dropped."""
        if not self._sequence or (not self._position and self._sequence[0] not in data):
            return data, False
        passed = bytearray()
        for byte in data:
            if byte != self._sequence[self._position]:
                passed += self.finish()
                passed.append(byte)
                continue
            self._position += 1
            if self._position == len(self._sequence):
                return bytes(passed), True
        return bytes(passed), False

    def finish(self) -> bytes:
        """Return what was held back when the stream ends."""
        held = self._sequence[: self._position]
        self._position = 0
        return held
