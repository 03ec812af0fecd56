"""The small languages of moor-oci's options, and device rules."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.runtime.commands.events import parse_duration
from moorage.runtime.commands.exec import parse_user
from moorage.runtime.commands.kill import parse_signal
from moorage.runtime.commands.list import table
from moorage.runtime.commands.ps import select_lines
from moorage.runtime.commands.update import parse_size, requested
from moorage.runtime.containment import device_rules
from moorage.runtime.errors import ContainerStateError, InvalidSpecError
from moorage.runtime.idmaps import host_id, id_ranges
from moorage.runtime.limits import parse_list
from moorage.runtime.options import option_words
from moorage.runtime.privileges import CapabilitySets

ALLOW_ALL = {"allow": True, "access": "rwm"}
DENY_ALL = {"allow": False, "access": "rwm"}


@pytest.mark.parametrize("text", ["KILL", "kill", "SIGKILL", "9"])
def test_signals(text: str) -> None:
    assert parse_signal(text) == signal.SIGKILL


@pytest.mark.parametrize("text", ["NOSUCH", "0", "65", "-1", ""])
def test_no_signals(text: str) -> None:
    with pytest.raises(ContainerStateError, match="unknown signal"):
        parse_signal(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("-1", -1), ("2k", 2048), ("1.5m", 1572864), ("1GB", 1 << 30), ("3b", 3)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_options_become_resources() -> None:
    options = {"memory": "1m", "cpu_share": "512", "cpuset_cpus": "0-1", "pids_limit": None}
    assert requested(options) == {"memory": {"limit": 1 << 20}, "cpu": {"shares": 512, "cpus": "0-1"}}


def test_a_value_that_is_no_number_is_named() -> None:
    with pytest.raises(ContainerStateError, match="invalid value for --cpu-share: 'x'"):
        requested({"cpu_share": "x"})


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("100ms", 0.1), ("2m", 120), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0s", "5", "-1s", "s", ""])
def test_no_durations(text: str) -> None:
    with pytest.raises(ContainerStateError, match="greater than 0"):
        parse_duration(text)


def test_users() -> None:
    assert parse_user("5", gid=9) == (5, 9)
    assert parse_user("5:6", gid=9) == (5, 6)
    with pytest.raises(ContainerStateError, match="invalid user"):
        parse_user("root", gid=0)


def test_lines_of_ps_are_chosen_by_its_column_pid() -> None:
    listing = "UID   PID  CMD\nroot    1  init\nroot   12  sh 1\n"
    assert select_lines(listing, {12}) == "UID   PID  CMD\nroot   12  sh 1\n"
    with pytest.raises(ContainerStateError, match="PID"):
        select_lines("USER CMD\n", {1})


def test_table_of_no_containers_is_its_heading() -> None:
    assert table([]).split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]


@given(st.sets(st.integers(min_value=0, max_value=300), min_size=1))
def test_lists_of_numbers(numbers: set[int]) -> None:
    assert parse_list(",".join(map(str, sorted(numbers)))) == sorted(numbers)


def test_ranges_of_numbers() -> None:
    assert parse_list("0-3,7") == [0, 1, 2, 3, 7]
    assert parse_list("") == []
    with pytest.raises(InvalidSpecError):
        parse_list("0-x")


def test_device_rules_begin_with_a_clean_slate() -> None:
    assert device_rules([])[0] == DENY_ALL
    assert device_rules([{"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rwm"}])[0] == DENY_ALL


def test_default_devices_are_always_allowed() -> None:
    null = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
    assert null in device_rules([DENY_ALL])
    assert device_rules([DENY_ALL, null]).count(null) == 1


def test_all_devices_stay_allowed_without_more_rules() -> None:
    assert device_rules([ALLOW_ALL]) == [ALLOW_ALL]


def test_ids_are_mapped_by_the_range_that_holds_them() -> None:
    ranges = id_ranges([{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 5000, "size": 10}])
    assert [host_id(ranges, inside) for inside in (0, 1, 10)] == [1000, 5000, 5009]


def test_capabilities_are_cut_to_what_can_be_granted() -> None:
    sets = CapabilitySets(
        {"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN", "CAP_KILL"]},
        grantable=1,
    )
    assert (sets.bounding, sets.permitted, sets.effective) == (1, 1, 1)
    assert sets.warnings == ["ignoring unknown or unavailable capabilities: CAP_KILL"]


def test_option_words_are_listed_once() -> None:
    assert len(option_words()) == len(set(option_words())) >= 61
