"""How long moor waits for the engine that it starts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.cli import session
from moorage.client.address import Address
from moorage.client.connection import Connection
from moorage.client.errors import EngineUnreachableError


class Clock:
    """Time that passes by sleeping only, much of it at a time."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _seconds: float) -> None:
        self.now += 5


class Engine(Connection):
    """An engine that answers from a moment on."""

    def __init__(self, directory: Path, clock: Clock, *, answers_at: float) -> None:
        super().__init__(Address(path=f"{directory}/socket"))
        self._clock = clock
        self._answers_at = answers_at

    def version(self) -> Any:
        if self._clock.now < self._answers_at:
            raise EngineUnreachableError(self.address.text)
        return None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(session, "time", made)
    return made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def remember(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        found.append(start(*words, **options))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", remember)
    yield found
    for process in found:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("started")
def test_an_engine_that_starts_slowly_is_waited_for(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "_daemon_command", lambda: ["sleep", "1000"])
    session.start_engine(Engine(tmp_path, clock, answers_at=120))
    assert capsys.readouterr().err.splitlines() == [
        "moor: no engine is running, starting moord",
        f"moor: moord is still starting; its log is {tmp_path}/moord.log",
    ]


@pytest.mark.usefixtures("started")
def test_an_engine_that_never_answers_is_given_up(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "_daemon_command", lambda: ["sleep", "1000"])
    with pytest.raises(EngineUnreachableError):
        session.start_engine(Engine(tmp_path, clock, answers_at=float("inf")))
    assert "moord did not start" in capsys.readouterr().err


def test_an_engine_that_ends_is_not_waited_for(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setattr(session, "_daemon_command", lambda: ["false"])

    def sleep(_seconds: float) -> None:
        started[0].wait()

    monkeypatch.setattr(clock, "sleep", sleep)
    with pytest.raises(EngineUnreachableError):
        session.start_engine(Engine(tmp_path, clock, answers_at=float("inf")))
    assert clock.now == 0
