"""Unused images go when the disk fills, and those that are needed stay."""

import io
import json
import subprocess
import sys
import tarfile

import pytest

from tests.support.daemon import Daemon, daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


def gc(moord: Daemon, *options: str) -> str:
    program = [sys.executable, "-c", "from moorage.cli.main import main; main()"]
    command = [*program, "-H", f"unix://{moord.socket}", "system", "gc", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=stretched(60)).stdout


def make_image(moord: Daemon, name: str, *changes: str) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 100_000
        tar.addfile(member, io.BytesIO(name[:1].encode() * 100_000))
    path = moord.base / "archive"
    path.write_bytes(archive.getvalue())
    options = [word for change in changes for word in ("--change", change)]
    moord.docker("import", *options, str(path), name)


def configure(moord: Daemon, **policy: object) -> None:
    path = moord.base / "daemon.json"
    path.write_text(json.dumps({"image-gc": {key.replace("_", "-"): value for key, value in policy.items()}}))
    moord.restart("--config-file", str(path))


def images(moord: Daemon) -> list[str]:
    return sorted(moord.docker("images", "--format", "{{.Repository}}").split())


def test_images_are_removed_by_policy() -> None:
    with daemon() as moord:
        moord.mount_small_data_root(mebibytes=24)
        moord.start()
        moord.load_busybox()
        for name in ("old", "older"):
            make_image(moord, name, 'CMD ["x"]')
        make_image(moord, "kept", "LABEL keep=true")
        moord.docker("create", "--name", "uses", "busybox", "true")
        # Using it made it the younger one.
        moord.docker("rm", moord.docker("create", "old"))
        assert "would remove" not in gc(moord)
        policy = {"high_watermark": "1%", "low_watermark": "0%", "min_age": "0s", "keep_labels": ["keep=true"]}
        configure(moord, **policy | {"min_age": "1h"})
        assert "would remove" not in gc(moord, "--dry-run")
        configure(moord, **policy)
        shown = gc(moord, "--dry-run").splitlines()
        assert [line.split()[2] for line in shown[:-2]] == ["older:latest", "old:latest"]
        assert images(moord) == ["busybox", "kept", "old", "older"]
        configure(moord, **policy, interval="100ms")
        wait_until(lambda: images(moord) == ["busybox", "kept"], what="the unused images to go", log=moord.log)
        told = moord.popen("events", "--since", "1m", "--format", "{{.Action}} {{json .Actor}}")
        assert told.stdout is not None
        assert any('"reason":"image-gc"' in line for line in iter(told.stdout.readline, ""))
        moord.docker("start", "uses")
