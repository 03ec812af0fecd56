"""Files of a root that is not mounted, by overlay's rules."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.engine.bundles.layered import is_layered_directory, layered_directories, read_layered_file


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    directories = [tmp_path / name for name in ("upper", "middle", "bottom")]
    for directory in directories:
        (directory / "etc").mkdir(parents=True)
    return directories


def test_the_topmost_layer_wins(layers: list[Path]) -> None:
    (layers[2] / "etc/passwd").write_text("bottom")
    (layers[1] / "etc/passwd").write_text("middle")
    assert read_layered_file(layers, "/etc/passwd") == b"middle"


def test_a_missing_file_is_none(layers: list[Path]) -> None:
    assert read_layered_file(layers, "/etc/passwd") is None
    assert read_layered_file(layers, "/no/such/directory") is None


def test_links_cross_layers_and_stay_inside_the_root(layers: list[Path]) -> None:
    (layers[0] / "etc/passwd").symlink_to("/usr/share/passwd")
    (layers[2] / "usr/share").mkdir(parents=True)
    (layers[2] / "usr/share/passwd").write_text("bottom")
    assert read_layered_file(layers, "/etc/passwd") == b"bottom"


def test_a_link_out_of_the_root_finds_nothing_of_the_host(layers: list[Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host")
    (layers[0] / "etc/passwd").symlink_to("../../secret")
    assert read_layered_file(layers, "/etc/passwd") is None
    (layers[0] / "etc/group").symlink_to(tmp_path / "secret")
    assert read_layered_file(layers, "/etc/group") is None


def test_a_ring_of_links_ends(layers: list[Path]) -> None:
    (layers[0] / "etc/passwd").symlink_to("group")
    (layers[1] / "etc/group").symlink_to("passwd")
    assert read_layered_file(layers, "/etc/passwd") is None


def test_a_file_above_hides_a_directory_below(layers: list[Path]) -> None:
    (layers[0] / "etc/conf").write_text("file")
    (layers[1] / "etc/conf").mkdir()
    (layers[1] / "etc/conf/inner").write_text("hidden")
    assert read_layered_file(layers, "/etc/conf/inner") is None


def test_directories_and_fifos_are_no_files(layers: list[Path]) -> None:
    os.mkfifo(layers[0] / "etc/passwd")
    assert read_layered_file(layers, "/etc/passwd") is None
    assert read_layered_file(layers, "/etc") is None


def test_the_limit_holds(layers: list[Path]) -> None:
    (layers[0] / "etc/passwd").write_bytes(b"x" * 100)
    assert read_layered_file(layers, "/etc/passwd", limit=10) == b"x" * 10


@given(st.text(alphabet="/.abc", max_size=30))
def test_any_path_stays_below_the_layers(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp() / "layered"
    (root / "layer/a/b").mkdir(parents=True, exist_ok=True)
    (root / "a").write_text("outside")
    assert read_layered_file([root / "layer"], path) is None


def test_directories_are_found_by_way_of_links(layers: list[Path]) -> None:
    (layers[2] / "srv/app").mkdir(parents=True)
    (layers[1] / "home").symlink_to("/srv/../srv")
    (layers[0] / "etc/file").touch()
    asked = ("/", "/etc", "/srv/app/.", "/home/app", "/no", "/etc/file", "/etc/file/x", "/srv/app/..")
    assert [path for path in asked if is_layered_directory(layers, path)] == [
        "/", "/etc", "/srv/app/.", "/home/app", "/srv/app/..",
    ]  # fmt: skip
    assert not is_layered_directory([], "/etc")


def test_a_directory_is_made_up_of_the_layers_that_show_in_it(layers: list[Path]) -> None:
    (layers[1] / "etc/sub").mkdir()
    (layers[2] / "etc/sub").mkdir()
    (layers[0] / "link").symlink_to("/etc/sub")
    assert layered_directories(layers, "") == layers
    assert layered_directories(layers, "link") == [layers[1] / "etc/sub", layers[2] / "etc/sub"]
    (layers[0] / "etc/sub").write_text("a file")
    assert layered_directories(layers, "link") == [layers[0] / "etc/sub"]
    assert layered_directories(layers, "etc/nothing") == []
