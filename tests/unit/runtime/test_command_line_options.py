"""Options of `moor-oci` as Go's parser takes them."""

from __future__ import annotations

import argparse

import pytest

from moorage.runtime.commands import exec as exec_command
from moorage.runtime.commands import restore
from moorage.runtime.main import Parser


def parse(module: object, *arguments: str) -> argparse.Namespace:
    parser = Parser()
    module.configure(parser)  # type: ignore[attr-defined]  # a module of a command
    return parser.parse(arguments)


def test_long_options_may_have_one_dash() -> None:
    options = parse(restore, "-no-subreaper", "-pid-file", "/p", "-bundle=/b", "-d", "c1")
    assert (options.no_subreaper, options.pid_file, options.bundle, options.detach) == (True, "/p", "/b", True)
    assert options.container_id == "c1"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("false", False), ("F", False)])
def test_switches_may_have_a_value(text: str, value: bool) -> None:
    assert parse(restore, f"--detach={text}", "c1").detach is value


def test_what_follows_the_container_is_the_programs() -> None:
    options = parse(exec_command, "-user", "1:2", "--tty=false", "c1", "ls", "-user", "--tty=true")
    assert (options.user, options.tty, options.command) == ("1:2", False, ["ls", "-user", "--tty=true"])


def test_short_options_stay_what_they_are() -> None:
    options = parse(exec_command, "-t", "-u", "5", "-e", "A=-B", "c1", "sh")
    assert (options.tty, options.user, options.env) == (True, "5", ["A=-B"])
