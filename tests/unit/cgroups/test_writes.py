"""How a plan is carried out, on directories that only look like cgroups."""

from pathlib import Path

import pytest

from moorage.cgroups.errors import MissingControllerError, MissingFileError
from moorage.cgroups.writes import Write, carry_out


def carry(tmp_path: Path, *writes: Write) -> dict[str, str]:
    carry_out(writes, {"cpu": str(tmp_path)})
    return {entry.name: entry.read_text() for entry in tmp_path.iterdir()}


def test_a_value_goes_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "cpu.shares").touch()
    assert carry(tmp_path, Write("cpu", "cpu.shares", "5")) == {"cpu.shares": "5"}


def test_a_missing_controller_is_named_with_the_value_that_needs_it(tmp_path: Path) -> None:
    with pytest.raises(MissingControllerError, match=r"'blkio'.*blkio\.weight"):
        carry(tmp_path, Write("blkio", "blkio.weight", "5"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"cpu\.idle"):
        carry(tmp_path, Write("cpu", "cpu.idle", "1"))


def test_what_holds_anyway_needs_neither_controller_nor_file(tmp_path: Path) -> None:
    writes = (Write("cpu", "cpu.idle", "0", optional=True), Write("pids", "pids.max", "max", optional=True))
    assert carry(tmp_path, *writes) == {}


def test_the_other_file_is_used_where_the_first_is_missing(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    assert carry(tmp_path, Write("cpu", "old", "1", instead=("new", "2"))) == {"new": "2"}
    with pytest.raises(MissingFileError, match=r"old .*nor newer"):
        carry(tmp_path, Write("cpu", "old", "1", instead=("newer", "2")))
