"""A container's streams in the user's terminal: attach, follow, resize, forward signals."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from moorage.api import endpoints
from moorage.api.containers import ContainerAttachQuery, ContainerKillQuery, ContainerWaitQuery, ResizeQuery
from moorage.cli import terminal
from moorage.cli.accounts import default_detach_keys
from moorage.cli.session import Session
from moorage.cli.streaming import carry
from moorage.client.calls import Call, call, decode
from moorage.client.connection import Exchange
from moorage.errors import MoorageError

_UPGRADE: Final = {"Connection": "Upgrade", "Upgrade": "tcp"}


def upgrade(session: Session, request: Call[Any]) -> Exchange:
    """Send a call that takes the connection over; return it after its head.

    Raises:
        MoorageError: The engine refused.
    """
    return session.connection.begin(request, headers=_UPGRADE).checked()


def attach_request(identity: str, *, streams: frozenset[str], detach_keys: str = "", logs: bool = False) -> Call[Any]:
    """Return the request for attaching to a container's streams."""
    query = ContainerAttachQuery(
        stream=True,
        logs=logs,
        stdin="stdin" in streams,
        stdout="stdout" in streams,
        stderr="stderr" in streams,
        detach_keys=detach_keys or default_detach_keys(),
    )
    return call(endpoints.CONTAINER_ATTACH, path={"id": identity}, query=query)


def begin_wait(session: Session, identity: str, *, condition: str) -> Callable[[], int]:
    """Register a wait at the engine; what is returned waits for the exit status.

    Raises:
        MoorageError: The engine refused.
    """
    request = call(endpoints.CONTAINER_WAIT, path={"id": identity}, query=ContainerWaitQuery(condition=condition))
    exchange = session.connection.begin(request).checked()

    def result() -> int:
        with exchange:
            response = decode(request, status=200, body=exchange.body())
        if response.error is not None and response.error.message:
            sys.stderr.write(f"Error waiting for container: {response.error.message}\n")
            return 125
        return response.status_code

    return result


def converse(exchange: Exchange, *, stdin: bool, tty: bool) -> None:
    """Carry bytes until the container's side closes; a terminal is in raw mode meanwhile."""
    with exchange, ExitStack() as stack:
        if stdin and tty and sys.stdin.isatty():
            stack.enter_context(terminal.raw_mode(sys.stdin.fileno()))
        carry(exchange, stdin=stdin, multiplexed=not tty)


@contextlib.contextmanager
def following_size(resize: Callable[[int, int], object], *, tty: bool) -> Iterator[None]:
    """Keep the container's terminal as large as the user's."""

    def tell() -> None:
        if found := terminal.size():
            # A container that has ended has no terminal any more; nothing is lost by that.
            with contextlib.suppress(MoorageError):
                resize(*found)

    if not tty:
        yield
        return
    tell()
    with terminal.on_resize(tell):
        yield


def container_resizer(session: Session, identity: str) -> Callable[[int, int], object]:
    """Return what sets the size of a container's terminal."""
    return lambda rows, columns: session.perform(
        call(endpoints.CONTAINER_RESIZE, path={"id": identity}, query=ResizeQuery(h=str(rows), w=str(columns)))
    )


@contextlib.contextmanager
def forwarding_signals(session: Session, identity: str, *, wanted: bool) -> Iterator[None]:
    """Send the signals that ``moor`` gets to the container's init process."""

    def forward(number: int) -> None:
        name = signal.Signals(number).name.removeprefix("SIG")
        with contextlib.suppress(MoorageError):
            session.perform(
                call(endpoints.CONTAINER_KILL, path={"id": identity}, query=ContainerKillQuery(signal=name))
            )

    if not wanted:
        yield
        return
    with terminal.signals_to(forward):
        yield
