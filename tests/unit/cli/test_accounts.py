"""What the commands take from the user's configuration."""

from pathlib import Path

import pytest

from moorage.cli.accounts import default_detach_keys


def test_keys_for_detaching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert default_detach_keys() == ""
    (tmp_path / "config.json").write_text('{"detachKeys": "ctrl-e,e", "auths": {}}')
    assert default_detach_keys() == "ctrl-e,e"
