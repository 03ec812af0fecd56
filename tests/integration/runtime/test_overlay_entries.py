"""Overlays among a specification's mounts."""

import errno
import os
from pathlib import Path

import pytest

from moorage.kernel import mount_fd
from moorage.kernel.mount import MountFlag, mount
from moorage.kernel.namespaces import CloneFlag, unshare
from moorage.runtime.mounts import prepare

pytestmark = pytest.mark.needs("root", "overlay")


@pytest.mark.parametrize("one_by_one", [True, False], ids=["one-by-one", "before-linux-6.5"])
def test_layers_given_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, one_by_one: bool) -> None:
    layers = [tmp_path / ("a" * 200) / name for name in ("upper", "lower")]
    for layer in layers:
        layer.mkdir(parents=True)
        (layer / layer.name).write_text(layer.name)
        (layer / "both").write_text(layer.name)
    options = ["ro", *(f"lowerdir+={layer}" for layer in layers), "index=off"]
    entry = {"destination": "/i", "type": "overlay", "source": "overlay", "options": options}
    if not one_by_one:
        monkeypatch.setattr(mount_fd, "fsconfig", _refuse)
    child = os.fork()
    if child == 0:
        try:
            unshare(CloneFlag.NEWNS)
            mount(None, "/", flags=MountFlag.REC | MountFlag.PRIVATE)
            tree = Path(f"/proc/self/fd/{prepare(entry, bundle='/', userns_fd=-1).tree_fd}")
            names = {path.name for path in tree.iterdir()}
            read_only = bool(os.statvfs(tree).f_flag & os.ST_RDONLY)
            seen = (names, (tree / "both").read_text(), read_only)
            good = seen == ({"upper", "lower", "both"}, "upper", True)
            os._exit(0 if good else 1)
        except BaseException:  # noqa: BLE001  # the child must not run the rest of the tests
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _refuse(*_: object) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
