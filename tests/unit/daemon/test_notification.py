"""What who started the daemon gets to hear."""

import os
import secrets
import socket
from pathlib import Path

import pytest

from moorage.daemon.notification import READY, Notification


@pytest.mark.parametrize("kind", ["a path", "an abstract name"])
def test_a_state_arrives(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = secrets.token_hex(8)
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    address, shown = (name, name) if kind == "a path" else (f"\0{name}", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", shown)
        notification = Notification()
        notification.tell(READY)
        assert listener.recv(100) == b"READY=1"
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_nobody_has_to_listen(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    Notification().tell(READY)
