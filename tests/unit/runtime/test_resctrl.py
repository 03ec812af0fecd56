"""Classes of service, on a directory that looks like the file system."""

from pathlib import Path

import pytest

from moorage.runtime.errors import StartError
from moorage.runtime.resctrl import ResctrlGroup, schema_lines


@pytest.fixture
def mount_point(tmp_path: Path) -> Path:
    """A file system with one class, called gold."""
    (tmp_path / "schemata").touch()
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold/schemata").write_text("    L3:0=f;1=f\n    MB:0=100\n")
    (tmp_path / "gold/tasks").touch()
    return tmp_path


def test_a_host_without_it_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no resctrl file system is mounted"):
        ResctrlGroup({}, container_id="c", mount_point=str(tmp_path))


def test_a_process_enters_a_class_that_is_there(mount_point: Path) -> None:
    group = ResctrlGroup({"closID": "gold", "schemata": ["MB:0=100"]}, container_id="c", mount_point=str(mount_point))
    group.enter(42)
    assert (mount_point / "gold/tasks").read_text() == "42"
    group.leave()
    assert (mount_point / "gold").is_dir()


def test_a_class_that_is_there_must_have_the_wanted_schemata(mount_point: Path) -> None:
    group = ResctrlGroup({"closID": "gold", "schemata": ["MB:0=50"]}, container_id="c", mount_point=str(mount_point))
    with pytest.raises(StartError, match="exists with other schemata"):
        group.enter(42)


def test_a_missing_class_needs_a_schema(mount_point: Path) -> None:
    with pytest.raises(StartError, match="there is no class 'silver'"):
        ResctrlGroup({"closID": "silver"}, container_id="c", mount_point=str(mount_point)).enter(42)


@pytest.mark.parametrize("name", ["..", "a/b"])
def test_a_class_is_a_file_name(mount_point: Path, name: str) -> None:
    with pytest.raises(StartError, match="no file name"):
        ResctrlGroup({"closID": name}, container_id="c", mount_point=str(mount_point))


def test_general_schemata_are_written_last() -> None:
    settings = {"schemata": ["L2:0=1"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f\nL3:1=f"}
    assert schema_lines(settings) == ["L3:0=f", "L3:1=f", "MB:0=20", "L2:0=1"]


def test_an_update_writes_into_the_group_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "schemata").touch()
    (tmp_path / "c1").mkdir()
    (tmp_path / "c1/schemata").touch()
    ResctrlGroup({"l3CacheSchema": "L3:0=f"}, container_id="c1", mount_point=str(tmp_path)).update()
    assert (tmp_path / "c1/schemata").read_text() == "L3:0=f\n"
    with pytest.raises(StartError, match="no such file"):
        ResctrlGroup({"memBwSchema": "MB:0=70"}, container_id="c2", mount_point=str(tmp_path)).update()
