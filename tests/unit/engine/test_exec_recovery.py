"""Added processes that an earlier daemon knew of."""

import time
from pathlib import Path
from typing import Any

import pytest

from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.exec.files import ExecFiles, ExecRequest
from moorage.engine.exec.recovering import ExecRecovery
from moorage.engine.exec.table import ExecNotFoundError, ExecRecord, ExecTable
from moorage.engine.jobs import Jobs
from tests.unit.engine.fakes import ID, record


class FakeExits:
    """Takes note of what is recorded, as the real one does."""

    def __init__(self, table: ExecTable) -> None:
        self.table = table
        self.recorded: list[tuple[str, int]] = []

    def record(self, container_id: str, exec_id: str, exit_code: int) -> None:
        assert container_id == ID
        if self.table.end(exec_id, exit_code) is not None:
            self.recorded.append((exec_id, exit_code))


class FakeTask:
    """A shim that answers with one state, and notes whom it kills."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.answer = state
        self.killed: list[str] = []

    async def state(self) -> dict[str, Any]:
        return self.answer

    async def exec_kill(self, exec_id: str, signal: int) -> None:
        assert signal == 9
        self.killed.append(exec_id)


@pytest.fixture
def files(tmp_path: Path) -> ExecFiles:
    made = ExecFiles(ContainerPaths(tmp_path / "data", tmp_path / "run"))
    (tmp_path / "run" / "containers" / ID).mkdir(parents=True)
    return made


async def recover(files: ExecFiles, *states: dict[str, Any]) -> tuple[ExecTable, list[tuple[str, int]], FakeTask]:
    """Adopt with the first state; the shim answers with the last one when it is asked again."""
    table, jobs = ExecTable(files), Jobs()
    exits, task = FakeExits(table), FakeTask(states[-1])
    recovery = ExecRecovery(table=table, files=files, exits=exits, jobs=jobs)  # type: ignore[arg-type]  # has what is used
    recovery.adopt(record(), task, states[0])  # type: ignore[arg-type]  # likewise
    await jobs.finish(timeout=5)
    return table, exits.recorded, task


def known(files: ExecFiles, exec_id: str, *, started: bool = True) -> None:
    request = ExecRequest(id=exec_id, container_id=ID, command=("true",), tty=True, detach_keys=(1,))
    ExecTable(files).add(ExecRecord(request=request))
    if started:
        files.write_process(ID, exec_id, {})


async def test_one_that_runs_goes_on(files: ExecFiles) -> None:
    known(files, "e1")
    table, recorded, _ = await recover(files, {"execs": [{"id": "e1", "pid": 7}]})
    found = table.get("e1")
    assert (found.running, found.pid, found.settled.is_set(), recorded) == (True, 7, True, [])
    assert (found.request.command, found.request.tty, found.request.detach_keys) == (("true",), True, (1,))


async def test_one_that_was_not_started_can_still_be(files: ExecFiles) -> None:
    known(files, "e1", started=False)
    table, recorded, _ = await recover(files, {})
    found = table.get("e1")
    assert (found.running, found.exit_code, found.settled.is_set(), recorded) == (False, None, False, [])


async def test_an_exit_is_told_once(files: ExecFiles) -> None:
    known(files, "e1")
    _, recorded, _ = await recover(files, {"ended_execs": [{"id": "e1", "exit_code": 3}]})
    assert recorded == [("e1", 3)]
    table, recorded, _ = await recover(files, {})
    assert (table.get("e1").exit_code, recorded) == (3, [])


async def test_an_exit_that_only_the_shim_has_noted(files: ExecFiles) -> None:
    known(files, "e1")
    note = files.paths.bundle(ID) / "exec" / "e1.json.exit"
    note.write_text('{"exit_code":4,"at":1,"oom_killed":false}')
    assert (await recover(files, {}))[1] == [("e1", 4)]


async def test_an_exit_that_nobody_noted(files: ExecFiles) -> None:
    known(files, "e1")
    assert (await recover(files, {}))[1] == [("e1", 255)]


async def test_an_exit_between_the_answer_and_the_adoption(files: ExecFiles) -> None:
    known(files, "e1")
    after = {"ended_execs": [{"id": "e1", "exit_code": 5}]}
    assert (await recover(files, {"execs": [{"id": "e1", "pid": 7}]}, after))[1] == [("e1", 5)]


async def test_probes_end_with_their_daemon(files: ExecFiles) -> None:
    files.write_process(ID, "probe", {})
    table, _, task = await recover(files, {"execs": [{"id": "probe", "pid": 7}]})
    assert (task.killed, files.known(ID)) == (["probe"], set())
    with pytest.raises(ExecNotFoundError):
        table.get("probe")


async def test_a_note_that_was_cut_is_no_process(files: ExecFiles) -> None:
    known(files, "e1", started=False)
    (files.paths.bundle(ID) / "exec" / "e1.exec").write_text('{"id":"e')
    await recover(files, {})
    assert files.known(ID) == set()


def test_one_that_ended_is_kept_for_some_minutes(files: ExecFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    table = ExecTable(files)
    table.add(ExecRecord(request=ExecRequest(id="early", container_id=ID, command=("true",))))
    table.end("early", 3)
    for seconds, later in ((299, "second"), (2, "third")):
        assert table.get("early").exit_code == 3
        now[0] += seconds
        table.add(ExecRecord(request=ExecRequest(id=later, container_id=ID, command=("true",))))
    with pytest.raises(ExecNotFoundError):
        table.get("early")
    assert table.get("second").exit_code is None


async def test_what_died_with_a_part_of_its_shim_is_recorded(files: ExecFiles) -> None:
    for exec_id in ("gone", "told", "noted", "runs", "new"):
        known(files, exec_id)
    (files.paths.bundle(ID) / "exec" / "noted.json.exit").write_text('{"exit_code":4,"at":1,"oom_killed":false}')
    table, jobs = ExecTable(files), Jobs()
    for exec_id in ("gone", "told", "noted", "runs", "new"):
        table.restore(
            ExecRecord(request=ExecRequest(id=exec_id, container_id=ID, command=("true",))), running=True, pid=7
        )
    exits = FakeExits(table)
    recovery = ExecRecovery(table=table, files=files, exits=exits, jobs=jobs)  # type: ignore[arg-type]  # has what is used
    state = {"execs": [{"id": "runs", "pid": 7}], "ended_execs": [{"id": "told", "exit_code": 3}]}
    recovery.compare(ID, ["gone", "told", "noted", "runs"], state)
    assert sorted(exits.recorded) == [("gone", 137), ("noted", 4), ("told", 3)]
    assert table.running(ID) == ["runs", "new"]
