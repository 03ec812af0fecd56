"""The shim's event loop."""

import os
from collections.abc import Iterator

import pytest

from moorage.shim.loop import READ, Loop


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_timers_fire_in_their_order_and_not_when_cancelled() -> None:
    loop = Loop()
    fired: list[str] = []
    loop.after(0.3, lambda: fired.append("second"))
    cancelled = loop.after(0.2, lambda: fired.append("never"))
    loop.after(0, lambda: fired.append("first"))
    cancelled.cancel()
    loop.after(0.4, loop.stop)
    loop.run()
    assert fired == ["first", "second"]


def test_handler_is_called_until_forgotten(pipe: tuple[int, int]) -> None:
    loop = Loop()
    calls: list[int] = []

    def handler(_events: int) -> None:
        calls.append(1)
        if len(calls) == 3:
            loop.forget(pipe[0])
            loop.stop()

    loop.watch(pipe[0], READ, handler)
    os.write(pipe[1], b"x")
    loop.run()
    assert len(calls) == 3
    assert not loop.watches(pipe[0])
    loop.forget(pipe[0])


def test_handler_that_fails_is_reported_and_forgotten(
    pipe: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    loop = Loop()

    def handler(_events: int) -> None:
        raise ValueError("a bug")

    loop.watch(pipe[0], READ, handler)
    os.write(pipe[1], b"x")
    loop.run_once()
    assert not loop.watches(pipe[0])
    assert "a bug" in capsys.readouterr().err


def test_descriptor_forgotten_in_the_same_round_is_not_handled(pipe: tuple[int, int]) -> None:
    other = os.dup(pipe[0])
    loop = Loop()
    calls: list[int] = []

    def handler(_events: int) -> None:
        calls.append(1)
        for fd in (pipe[0], other):
            loop.forget(fd)

    for fd in (pipe[0], other):
        loop.watch(fd, READ, handler)
    os.write(pipe[1], b"x")
    loop.run_once()
    os.close(other)
    assert calls == [1]
