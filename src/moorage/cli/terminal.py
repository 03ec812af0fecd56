"""The user's own terminal: raw mode, its size, and the signals that concern it."""

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from moorage.errors import InvalidParameterError

_FORWARDED: Final = tuple(
    number
    for number in signal.Signals
    # Those that no process may catch, those that concern this process alone, and the
    # one that says that the window changed.
    if number
    not in {
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGCHLD,
        signal.SIGPIPE,
        signal.SIGWINCH,
        signal.SIGURG,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
    }
)


class NotATerminalError(InvalidParameterError):
    """A terminal was asked for where standard input is none."""

    def __init__(self) -> None:
        super().__init__("the input device is not a TTY")


def require_terminal(*, interactive: bool, tty_wanted: bool) -> None:
    """Check that a terminal can be given away.

    Raises:
        NotATerminalError: Standard input is a file or a pipe.
    """
    if interactive and tty_wanted and not sys.stdin.isatty():
        raise NotATerminalError


def size() -> tuple[int, int] | None:
    """Return rows and columns of the terminal, or None where there is none."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


@contextlib.contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Hand every key to the program at the other end, and give the terminal back at the end."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.contextmanager
def signals_to(forward: Callable[[int], None]) -> Iterator[None]:
    """Call `forward` with each signal that this process gets, instead of dying of it."""

    def handle(number: int, _: FrameType | None) -> None:
        forward(number)

    before = {}
    for number in _FORWARDED:
        with contextlib.suppress(OSError, ValueError):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def on_resize(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` whenever the window changes its size."""
    before = signal.signal(signal.SIGWINCH, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
