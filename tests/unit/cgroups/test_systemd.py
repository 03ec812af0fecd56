"""Messages to systemd, and the conversation with one that is played by a thread."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.cgroups import dbus_codec, systemd
from moorage.cgroups.paths import Hierarchy
from moorage.cgroups.systemd_paths import UnitPath
from tests.support.systemd import FakeSystemd

VALUES = {
    "y": st.integers(0, 255),
    "b": st.booleans().map(int),
    "u": st.integers(0, 2**32 - 1),
    "t": st.integers(0, 2**64 - 1),
    "s": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
    "as": st.lists(st.text("ab", max_size=5), max_size=3),
    "at": st.lists(st.integers(0, 9), max_size=3),
    "(yt)": st.tuples(st.integers(0, 255), st.integers(0, 9)),
    "a(sv)": st.lists(st.tuples(st.text("ab"), st.tuples(st.just("u"), st.integers(0, 9))), max_size=3),
    "a{sa(us)}": st.lists(
        st.tuples(st.text("ab"), st.lists(st.tuples(st.just(7), st.text("c")), max_size=2)), max_size=2
    ),
}


@given(st.data(), st.lists(st.sampled_from(sorted(VALUES)), max_size=5))
def test_values_survive_the_wire(data: st.DataObject, kinds: list[str]) -> None:
    values = [data.draw(VALUES[kind]) for kind in kinds]
    signature = "".join(kinds)
    assert dbus_codec.unmarshal(signature, dbus_codec.marshal(signature, values)) == values


def test_a_signature_is_cut_into_whole_types() -> None:
    assert dbus_codec.split_signature("ssa(sv)a(sa(sv))aau") == ["s", "s", "a(sv)", "a(sa(sv))", "aau"]


def test_bytes_are_those_of_the_specification() -> None:
    # "Marshaling" in the specification: an array of one 64-bit number is padded, uncounted.
    assert dbus_codec.marshal("at", [[5]]) == bytes.fromhex("08000000 00000000 0500000000000000")
    assert dbus_codec.marshal("s", ["foo"]) == b"\x03\0\0\0foo\0"


@given(st.integers(0, 200))
def test_half_a_message_is_not_taken(size: int) -> None:
    message = dbus_codec.method_call(7, ("a.b", "/c", "d.e", "F"), "su", ("text", 5))
    buffer = bytearray(message[: min(size, len(message) - 1)])
    before = bytes(buffer)
    assert dbus_codec.take_message(buffer) is None
    assert buffer == before


def test_two_messages_are_taken_one_after_the_other() -> None:
    buffer = bytearray(
        dbus_codec.answer(1, reply_to=5, signature="o", values=("/job",))
        + dbus_codec.answer(2, reply_to=6, signature="s", values=("why",), error="x.Bad")
    )
    first, second = dbus_codec.take_message(buffer), dbus_codec.take_message(buffer)
    assert first is not None
    assert (first.reply_to, first.body, first.error) == (5, ["/job"], "")
    assert second is not None
    assert (second.reply_to, second.body, second.error) == (6, ["why"], "x.Bad")
    assert not buffer


def test_limits_become_properties() -> None:
    resources = {
        "memory": {"limit": 100, "swap": 150, "reservation": 50},
        "cpu": {"shares": 1024, "quota": 150_000, "period": 100_000},
        "pids": {"limit": 0},
    }
    assert dict(systemd.properties(resources)) == {
        "MemoryMax": ("t", 100),
        "MemoryLow": ("t", 50),
        "MemorySwapMax": ("t", 50),
        "CPUWeight": ("t", 100),
        "CPUQuotaPerSecUSec": ("t", 1_500_000),
        "CPUQuotaPeriodUSec": ("t", 100_000),
        "TasksMax": ("t", 2**64 - 1),
    }
    assert systemd.properties({}) == []


def test_a_quota_is_rounded_up_to_whole_percents() -> None:
    assert dict(systemd.properties({"cpu": {"quota": 1001}}))["CPUQuotaPerSecUSec"] == ("t", 20_000)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSystemd]:
    served = FakeSystemd(tmp_path)
    monkeypatch.setattr(systemd, "_SOCKETS", (served.path,))
    yield served
    served.close()


@pytest.fixture
def group(fake: FakeSystemd) -> systemd.SystemdGroup:
    hierarchy = Hierarchy(version=2, controllers=(), mount_point=str(fake.cgroups), root="/")
    return systemd.SystemdGroup(UnitPath(slice="machine.slice", unit="moorage-c1.scope"), hierarchy=hierarchy)


def test_the_first_process_starts_the_scope_with_the_limits_kept_for_it(
    fake: FakeSystemd, group: systemd.SystemdGroup
) -> None:
    group.create()
    group.apply({"pids": {"limit": 0}})
    assert fake.calls == []
    assert group.open_fd() == -1
    group.add(os.getpid())
    ((member, (unit, mode, properties, auxiliary)),) = fake.calls
    assert (member, unit, mode, auxiliary) == ("StartTransientUnit", "moorage-c1.scope", "replace", [])
    assert ("PIDs", ("au", [os.getpid()])) in properties
    assert ("TasksMax", ("t", 2**64 - 1)) in properties
    assert group.procs() == [os.getpid()]


@pytest.mark.parametrize(
    ("own", "slice_name", "ordering"),
    [
        ("/system.slice/moord.service", "mine.slice", [("as", ["moord.service"])]),
        ("/system.slice/moord.service/shims", "mine.slice", [("as", ["moord.service"])]),
        ("/system.slice/moord.service", "system.slice", []),
        ("/user.slice/user-0.slice/session-1.scope", "mine.slice", []),
        ("/", "mine.slice", []),
    ],
)
def test_a_scope_whose_slice_goes_down_with_the_host_ends_after_the_service_that_made_it(
    fake: FakeSystemd, own: str, slice_name: str, ordering: list[tuple[str, list[str]]]
) -> None:
    hierarchy = Hierarchy(version=2, controllers=(), mount_point=str(fake.cgroups), root="/", own=own)
    systemd.SystemdGroup(UnitPath(slice=slice_name, unit="moorage-c1.scope"), hierarchy=hierarchy).add(os.getpid())
    ((_, (_, _, properties, _)),) = fake.calls
    assert [value for name, value in properties if name == "Before"] == ordering


def test_a_scope_that_was_left_failed_is_forgotten_first(fake: FakeSystemd, group: systemd.SystemdGroup) -> None:
    fake.failures["StartTransientUnit"] = "org.freedesktop.systemd1.UnitExists"
    group.add(os.getpid())
    assert [member for member, _ in fake.calls] == ["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]


def test_a_running_scope_gets_its_properties_changed(fake: FakeSystemd, group: systemd.SystemdGroup) -> None:
    group.add(os.getpid())
    group.apply({"pids": {"limit": -1}})
    assert fake.calls[-1] == ("SetUnitProperties", ["moorage-c1.scope", 1, [("TasksMax", ("t", 2**64 - 1))]])


def test_a_refusal_is_told_with_its_name(fake: FakeSystemd, group: systemd.SystemdGroup) -> None:
    fake.failures["StartTransientUnit"] = "org.freedesktop.DBus.Error.AccessDenied"
    with pytest.raises(systemd.SystemdError, match=r"systemd: no \(org\.freedesktop\.DBus\.Error\.AccessDenied\)"):
        group.add(os.getpid())


def test_a_host_without_systemd_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(systemd, "_SOCKETS", (str(tmp_path / "nothing"),))
    with pytest.raises(systemd.SystemdError, match="nothing answers"), systemd.Connection():
        pass


@pytest.mark.parametrize(("state", "expected"), [("running", False), ("degraded", False), ("stopping", True)])
def test_a_host_that_goes_down_is_known(
    state: str, expected: bool, fake: FakeSystemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "RUNNING_MARK", str(tmp_path))
    fake.state = state
    assert systemd.host_is_going_down() == expected
    assert fake.calls == [("Get", ["org.freedesktop.systemd1.Manager", "SystemState"])]


def test_a_host_without_systemd_goes_down_unnoticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(systemd, "_SOCKETS", (str(tmp_path / "nothing"),))
    monkeypatch.setattr(systemd, "RUNNING_MARK", str(tmp_path / "nothing"))
    assert not systemd.host_is_going_down()
    monkeypatch.setattr(systemd, "RUNNING_MARK", str(tmp_path))
    with pytest.raises(systemd.SystemdError, match="nothing answers"):
        systemd.host_is_going_down()


def test_one_who_takes_a_connection_and_says_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_SOCKETS", (str(tmp_path / "deaf"),))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        deaf.listen()
        with pytest.raises(systemd.SystemdError, match="no greeting"), systemd.Connection(timeout=0.01):
            pass
