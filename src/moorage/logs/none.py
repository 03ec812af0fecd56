"""The none driver: output reaches attached clients only.

Standard library only: it runs in the shim.
"""

from __future__ import annotations


class NoLog:
    """A log that keeps nothing."""

    __slots__ = ()

    def write(self, stream: str, data: bytes) -> None:
        """Do nothing."""

    def finish(self, stream: str) -> None:
        """Do nothing."""

    def reopen(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
