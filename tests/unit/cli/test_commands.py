"""moor's commands and flags against those of Docker's command line."""

import csv
from pathlib import Path

import click
import pytest

from moorage.cli.main import moor

with (Path(__file__).parents[2] / "support" / "docker_commands.tsv").open(newline="") as file:
    COMMANDS = list(csv.DictReader(file, delimiter="\t"))

#: What asks no engine, and so is no part of what docs/compatibility.md tells: command, aliases, flags.
COMMANDS += [
    {"command": f"context {name}", "aliases": aliases, "flags": flags}
    for name, aliases, flags in (
        ("create", "", "--description --docker --from"),
        ("export", "", ""),
        ("import", "", ""),
        ("inspect", "", "-f/--format"),
        ("ls", "context list", "--format -q/--quiet"),
        ("rm", "context remove", "-f/--force"),
        ("show", "", ""),
        ("update", "", "--description --docker"),
        ("use", "", ""),
    )
]
#: What is not built at all.
MISSING = {"image build"}


def find(words: str) -> click.Command | None:
    command: click.Command | None = moor
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
        if command is None:
            return None
    return command


def flags_of(command: click.Command) -> set[str]:
    options = (one for one in command.params if isinstance(one, click.Option))
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row["command"] or "docker")
def test_every_command_has_dockers_names_and_flags(row: dict[str, str]) -> None:
    command = find(row["command"])
    if row["command"] in MISSING:
        assert command is None
        return
    assert command is not None
    wanted = {name for flag in row["flags"].split() for name in flag.partition(":")[0].split("/")}
    # click adds it to every command.
    assert wanted - flags_of(command) - {"--help"} == set()
    for alias in filter(None, row["aliases"].split(",")):
        assert find(alias) is command


@pytest.mark.parametrize("command", ["start", "ps"])
def test_help_ends_well(command: str) -> None:
    found = find(command)
    assert found is not None
    assert "Usage:" in found.get_help(click.Context(found))
