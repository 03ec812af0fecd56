"""Passwords in a file of users."""

import io
from pathlib import Path

import bcrypt
import pytest

from moorage.distribution.access.htpasswd import read_htpasswd
from moorage.distribution.passwd import passwd, set_password
from moorage.errors import InvalidParameterError


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = bcrypt.gensalt(4)
    monkeypatch.setattr("bcrypt.gensalt", lambda: salt)


def test_a_password_is_added_or_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "users"
    set_password(file, "alice", "one")
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("# ours\n" + file.read_text())
    file.chmod(0o640)
    set_password(file, "bob", "two")
    set_password(file, "alice", "three")
    hashes = read_htpasswd(file.read_text())
    assert sorted(hashes) == ["alice", "bob"]
    assert bcrypt.checkpw(b"three", hashes["alice"])
    assert bcrypt.checkpw(b"two", hashes["bob"])
    assert file.read_text().startswith("# ours\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_the_command_reads_the_password_from_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret words\r\n"))
    passwd([str(tmp_path / "users"), "alice", "--password-stdin"])
    assert bcrypt.checkpw(b"secret words", read_htpasswd((tmp_path / "users").read_text())["alice"])
    with pytest.raises(InvalidParameterError, match="nobody can be asked"):
        passwd([str(tmp_path / "users"), "alice"])


@pytest.mark.parametrize("user", ["", "a:b", "a b", "#a", "@users", "a,b", "a\nb"])
def test_names_that_a_file_or_a_list_reads_otherwise_are_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(InvalidParameterError, match="can't be the name of a user"):
        set_password(tmp_path / "users", user, "word")


@pytest.mark.parametrize("password", ["", "x" * 73])
def test_passwords_that_would_not_count_whole_are_refused(tmp_path: Path, password: str) -> None:
    with pytest.raises(InvalidParameterError, match="1 to 72 bytes"):
        set_password(tmp_path / "users", "a", password)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("something else\n")
    with pytest.raises(InvalidParameterError, match="line 1"):
        set_password(tmp_path / "users", "a", "word")
    assert (tmp_path / "users").read_text() == "something else\n"
