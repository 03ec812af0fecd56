"""What the commands take from the user's configuration."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from moorage.cli import accounts
from moorage.cli.accounts import default_detach_keys


def test_keys_for_detaching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert default_detach_keys() == ""
    (tmp_path / "config.json").write_text('{"detachKeys": "ctrl-e,e", "auths": {}}')
    assert default_detach_keys() == "ctrl-e,e"


HELPER = """#!/bin/sh
case $1 in
    store) cat > "$0.kept" ;;
    get) cat "$0.kept" ;;
    erase) rm "$0.kept" ;;
esac
"""


def test_a_helper_keeps_the_secret_and_the_file_that_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper, file = tmp_path / "docker-credential-test", tmp_path / "config.json"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    file.write_text('{"credsStore": "test"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    accounts._store("host:5000", "user", "secret", token="")
    assert json.loads(file.read_text()) == {"credsStore": "test", "auths": {"host:5000": {}}}
    assert json.loads((tmp_path / "docker-credential-test.kept").read_text())["Secret"] == "secret"
    done = CliRunner().invoke(accounts.logout, ["host:5000"])
    assert (done.exit_code, done.output) == (0, "Removing login credentials for host:5000\n")
    assert not (tmp_path / "docker-credential-test.kept").exists()
    assert json.loads(file.read_text())["auths"] == {}
