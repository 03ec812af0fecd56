"""Overlays on kernels that take all layers as one option (Debian 12 has Linux 6.1)."""

import os
from pathlib import Path

import pytest

from moorage.kernel import overlay
from moorage.worker import roots
from tests.support.isolation import in_mount_namespace
from tests.support.old_kernels import without_layers_one_by_one

pytestmark = pytest.mark.needs("root", "overlay")


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    """More layers than fit in a page by their paths, which have overlay's separators in them."""
    made = [tmp_path / f"{number:064}:,\\" / "diff" for number in range(120)]
    for number, path in enumerate(made):
        path.mkdir(parents=True)
        (path / f"file{number}").touch()
        (path / "same").write_text(str(number))
    return [str(path) for path in made]


def test_changes_go_to_the_upper_directory(tmp_path: Path, layers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    without_layers_one_by_one(monkeypatch)
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    work.mkdir()

    def body() -> None:
        root_fd = roots.open_root({"lower": layers, "upper": str(upper), "work": str(work)}, writable=True)
        assert len(list(Path(f"/proc/self/fd/{root_fd}").iterdir())) == 121
        os.unlink("same", dir_fd=root_fd)
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=root_fd))
        assert not os.path.ismount(upper)

    in_mount_namespace(body)
    assert sorted(path.name for path in upper.iterdir()) == ["new", "same"]


def test_layers_are_shown_top_first_and_nothing_stays_attached(
    layers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_layers_one_by_one(monkeypatch)

    def body() -> None:
        root_fd = roots.open_layers(layers)
        assert len(list(Path(f"/proc/self/fd/{root_fd}").iterdir())) == 121
        assert Path(f"/proc/self/fd/{root_fd}/same").read_text() == "0"
        assert not os.path.ismount(layers[0])

    in_mount_namespace(body)


def test_more_layers_than_a_page_holds_are_refused(layers: list[str]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="too long"):
        overlay.mount_overlay(layers[0], lower=layers * 2)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
