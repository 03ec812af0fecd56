"""Messages to systemd, and the conversation with one that is played by a thread."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.cgroups import dbus_codec, systemd
from moorage.cgroups.paths import Hierarchy
from moorage.cgroups.systemd_paths import UnitPath

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


class FakeSystemd:
    """Answers on a socket as systemd's private one does, and makes scopes as directories."""

    def __init__(self, tmp_path: Path) -> None:
        self.calls: list[tuple[str, list[Any]]] = []
        self.failures: dict[str, str] = {}
        self.cgroups = tmp_path / "cgroups"
        self.path = str(tmp_path / "private")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        assert connection.recv(4096).startswith(b"\0AUTH EXTERNAL ")
        connection.sendall(b"OK 0123\r\n")
        buffer = bytearray()
        while received := connection.recv(4096):
            buffer += received.removeprefix(b"BEGIN\r\n")
            while message := dbus_codec.take_message(buffer):
                connection.sendall(self._answer(message))

    def _answer(self, message: dbus_codec.Message) -> bytes:
        self.calls.append((message.member, message.body))
        if failure := self.failures.pop(message.member, None):
            return dbus_codec.answer(9, reply_to=message.sender_serial, signature="s", values=("no",), error=failure)
        if message.member == "StartTransientUnit":
            properties = dict(message.body[2])
            scope = self.cgroups / properties["Slice"][1] / message.body[0]
            scope.mkdir(parents=True)
            (scope / "cgroup.procs").write_text(f"{properties['PIDs'][1][0]}\n")
        return dbus_codec.answer(9, reply_to=message.sender_serial, signature="o", values=("/job/1",))


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
