"""Our D-Bus messages before a real message bus, which checks every byte of them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.cgroups import systemd

CONFIGURATION = """<busconfig>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
  </policy>
</busconfig>
"""


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    configuration = tmp_path / "bus.conf"
    configuration.write_text(CONFIGURATION.format(path=tmp_path / "bus"))
    command = [
        "dbus-daemon",
        f"--config-file={configuration}",
        "--nofork",
        "--nopidfile",
        "--nosyslog",
        "--print-address=1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        monkeypatch.setattr(systemd, "_SOCKETS", (str(tmp_path / "no private socket"), str(tmp_path / "bus")))
        yield
        daemon.kill()


@pytest.mark.usefixtures("bus")
@pytest.mark.needs("dbus-daemon")
def test_the_bus_takes_the_start_of_a_scope_for_a_valid_message() -> None:
    target = (
        "org.example.Nobody",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
    )
    properties = [
        ("PIDs", ("au", [1])),
        ("Delegate", ("b", True)),
        ("Slice", ("s", "a.slice")),
        ("MemoryMax", ("t", 5)),
    ]
    with systemd.Connection() as connection:
        with pytest.raises(systemd.SystemdError, match=r"ServiceUnknown"):
            connection.call(target, "ssa(sv)a(sa(sv))", ("c1.scope", "replace", properties, []))
        # A bus drops a connection at the first malformed message: this one still stands.
        (names,) = connection.call(("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ListNames"))
    assert "org.freedesktop.DBus" in names
