"""Names, times and states in words."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.durations import human_duration
from moorage.engine.containers.attaching import parse_detach_keys
from moorage.engine.containers.errors import InvalidContainerNameError, RequestRefusedError
from moorage.engine.containers.naming import candidate_names, check_name
from moorage.engine.containers.records import ContainerState, ContainerStatus, Health
from moorage.engine.containers.status_text import status_text
from moorage.engine.containers.top import parse_table
from moorage.engine.containers.waiting import WaitCondition, parse_condition

NOW = 1_000_000 * 1_000_000_000


@pytest.mark.parametrize("name", ["ab", "a-b_c.d", "/web", "0x"])
def test_names_that_are_allowed(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["a", "-a", "a b", "", "/", "ä1", "ab\n"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidContainerNameError, match=r"only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] are allowed"):
        check_name(name)


def test_a_nameless_container_ends_with_its_own_id() -> None:
    names = list(candidate_names("f" * 64))
    assert names[-1] == "f" * 12
    assert len(names) == 7
    assert names[0].replace("_", "").isalpha()
    assert all(name[-1].isdigit() for name in names[1:-1])
    assert all(check_name(name) == name for name in names)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_durations_are_dockers(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (ContainerState(), "Created"),
        (ContainerState(dead=True), "Dead"),
        (ContainerState(removing=True), "Removal In Progress"),
        (ContainerState(running=True, started_at_ns=NOW - 5 * 10**9), "Up 5 seconds"),
        (ContainerState(running=True, paused=True, started_at_ns=NOW), "Up Less than a second (Paused)"),
        (
            ContainerState(running=True, started_at_ns=NOW, health=Health()),
            "Up Less than a second (health: starting)",
        ),
        (
            ContainerState(running=True, restarting=True, exit_code=2, finished_at_ns=NOW - 10**9),
            "Restarting (2) 1 second ago",
        ),
        (ContainerState(started_at_ns=1, finished_at_ns=NOW - 3 * 10**9), "Exited (0) 3 seconds ago"),
    ],
)
def test_states_in_a_list(state: ContainerState, text: str) -> None:
    assert status_text(state, now_ns=NOW) == text


@given(st.lists(st.booleans(), min_size=5, max_size=5))
def test_one_word_for_every_mix_of_flags(flags: list[bool]) -> None:
    running, paused, restarting, removing, dead = flags
    state = ContainerState(running=running, paused=paused, restarting=restarting, removing=removing, dead=dead)
    assert isinstance(state.status, ContainerStatus)
    assert (state.status is ContainerStatus.PAUSED) == (running and paused)


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", (16, 17)), ("ctrl-a,b", (1, 98)), ("ctrl-@,ctrl-[,ctrl-_", (0, 27, 31)), ("DEL", (127,)), ("Q", (81,))],
)
def test_detach_keys(text: str, keys: tuple[int, ...]) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ctrl-P", "del", "ab", "a,,b", "ctrl-aa"])
def test_detach_keys_that_are_none(text: str) -> None:
    with pytest.raises(RequestRefusedError, match="Invalid detach keys"):
        parse_detach_keys(text)


def test_wait_conditions() -> None:
    assert parse_condition("") is WaitCondition.NOT_RUNNING
    assert parse_condition("removed") is WaitCondition.REMOVED
    with pytest.raises(RequestRefusedError, match='invalid condition: "soon"'):
        parse_condition("soon")


def test_the_process_table_keeps_blanks_in_the_last_column_and_threads_with_their_process() -> None:
    output = "UID PID CMD\nroot 1 init\nroot 7 sleep 100 \nroot - thread\nroot 8 other\nroot - hidden\n"
    table = parse_table(output, pids={7})
    assert table.titles == ["UID", "PID", "CMD"]
    assert table.processes == [["root", "7", "sleep 100"], ["root", "-", "thread"]]


def test_a_process_table_needs_process_ids() -> None:
    with pytest.raises(Exception, match="Couldn't find PID field in ps output"):
        parse_table("UID CMD\nroot init\n", pids=set())


def test_random_names_differ() -> None:
    firsts = {next(candidate_names("f" * 64)) for _ in itertools.repeat(None, 50)}
    assert len(firsts) > 20
