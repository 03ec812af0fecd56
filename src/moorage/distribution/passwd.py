"""``moor registry passwd``: give a user of a password file a password."""

import argparse
import getpass
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import bcrypt

from moorage.distribution.access.htpasswd import read_htpasswd
from moorage.errors import InvalidParameterError

# A colon ends a name in the file, # begins a remark there, and @ a word of access lists; a comma parts names in those.
_NAME: Final = re.compile(r"[^\s:,#@][^\s:,]*")
_LONGEST: Final = 72
"""Bytes of a password that count for bcrypt."""
_NEW_FILE_MODE: Final = 0o600


def passwd(arguments: Sequence[str]) -> None:
    """Ask for a password and write it into the file.

    Raises:
        InvalidParameterError: Name or password can't be used, or the file is none of passwords.
        OSError: It can't be read or written.
    """
    parser = argparse.ArgumentParser(prog="moor registry passwd", description="Give a user a password.")
    parser.add_argument("file", type=Path, help="file of users and bcrypt hashes, for --htpasswd; made if missing")
    parser.add_argument("user", help="name of the user")
    parser.add_argument("--password-stdin", action="store_true", help="take the password from standard input")
    given = parser.parse_args(list(arguments))
    set_password(given.file, given.user, _ask(stdin=given.password_stdin))


def set_password(path: Path, user: str, password: str) -> None:
    """Write a user's password into a file; the others stay as they are."""
    if not _NAME.fullmatch(user):
        raise InvalidParameterError(f"{user!r} can't be the name of a user")
    if not password or len(password.encode()) > _LONGEST:
        raise InvalidParameterError(f"a password has 1 to {_LONGEST} bytes")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    read_htpasswd(text)
    kept = [line for line in text.splitlines() if line.strip().partition(":")[0] != user]
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
    _replace(path, "".join(f"{line}\n" for line in (*kept, f"{user}:{hashed}")))


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else _NEW_FILE_MODE
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "w") as file:
        file.write(text)
    part.chmod(mode)
    # A registry that serves meanwhile reads either the old file or the new one.
    part.rename(path)


def _ask(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidParameterError("nobody can be asked for a password: give --password-stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password again: ") != password:
        raise InvalidParameterError("the passwords are not the same")
    return password
