"""What is in images, with the daemon that people run: many layers, and files that are not plain ones."""

import contextlib
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.daemon import IMAGE, Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

HOST = "127.0.0.1:5000"
# Version 2 of the attribute, effective: CAP_NET_BIND_SERVICE is permitted.
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
UID = 4_000_000_000


def layer(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def stacked(base: Path, *, layers: int, target: Path, name: str = "many:1") -> None:
    """Write an archive of the image in another one, with layers on top."""
    with tarfile.open(base) as tar:
        names = json.load(tar.extractfile("manifest.json") or io.BytesIO())[0]["Layers"]
        below = [(tar.extractfile(name) or io.BytesIO()).read() for name in names]
    contents = [*below, *(layer({f"l/{n}": b"", "top": str(n).encode()}) for n in range(layers))]
    digests = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in contents]
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": digests}}
    places = [f"{n}/layer.tar" for n in range(len(contents))]
    manifest = [{"Config": "c.json", "RepoTags": [name], "Layers": places}]
    files = {"c.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    target.write_bytes(layer({**files, **dict(zip(places, contents, strict=True))}))


def test_an_image_of_many_layers_runs(moord: Daemon, tmp_path: Path) -> None:
    base, many = tmp_path / "base.tar", tmp_path / "many.tar"
    moord.docker("save", "-o", str(base), IMAGE)
    stacked(base, layers=150, target=many)
    moord.docker("load", "-i", str(many))
    assert moord.docker("run", "--name", "many", "many:1", "sh", "-c", "rm /l/3; cat /top; ls /l | wc -l") == "149149"
    moord.docker("commit", "many", "many:2")
    assert moord.docker("run", "--rm", "many:2", "sh", "-c", "ls /l | wc -l") == "149"
    stacked(base, layers=500, target=many)
    assert moord.run("load", "-i", str(many)).stderr.strip() == "max depth exceeded"


def test_a_quiet_load_is_done_when_its_answer_begins(moord: Daemon, tmp_path: Path) -> None:
    base, archive = tmp_path / "base.tar", tmp_path / "brief.tar"
    moord.docker("save", "-o", str(base), IMAGE)
    stacked(base, layers=3, target=archive, name="brief:1")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(moord.socket))
        connection.sendall(
            b"POST /images/load?quiet=1 HTTP/1.1\r\nHost: docker\r\nContent-Length: %d\r\n\r\n" % archive.stat().st_size
        )
        connection.sendall(archive.read_bytes())
        # Docker's clients for Go may look no further than this, and hang up.
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert moord.docker("run", "--rm", "brief:1", "cat", "/top") == "2"


def facts(moord: Daemon, image: str, place: Path) -> dict[str, object]:
    """Return what there is to know about each file of the directory that the test is about."""
    container = moord.docker("create", image, "true")
    moord.docker("export", "-o", str(place), container)
    found: dict[str, object] = {}
    with tarfile.open(place) as tar:
        for one in tar:
            if one.name.startswith("odd/"):
                xattrs = {key: value for key, value in one.pax_headers.items() if key.startswith("SCHILY.xattr")}
                found[one.name] = (one.type, one.mode, one.uid, one.gid, one.size, one.linkname, xattrs)
    return found


def test_files_that_are_not_plain_survive_every_way(own: Daemon, tmp_path: Path) -> None:
    container = own.docker("create", IMAGE)
    root = tmp_path / "root.tar"
    own.docker("export", "-o", str(root), container)
    with tarfile.open(root, "a", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("odd/bind")
        member.mode = 0o4755
        value = CAPABILITY.decode("latin-1")
        member.pax_headers = {"SCHILY.xattr.security.capability": value, "SCHILY.xattr.user.note": "kept"}
        tar.addfile(member)
    own.docker("import", str(root), "odd:1")
    script = """
        cd /odd; touch bind; touch "$(printf '\\377\\376')"; touch big; chown 4000000000:4000000001 big
        dd if=/dev/zero of=sparse bs=1 count=1 seek=50000000 2>/dev/null; ln big hard; ln -s "$(printf 'x\\377')" soft
        mkfifo fifo; mkdir -m 1777 sticky"""
    own.docker("run", "--name", "maker", "odd:1", "sh", "-ec", script)
    own.docker("commit", "maker", f"{HOST}/odd:2")
    made = facts(own, f"{HOST}/odd:2", tmp_path / "made.tar")
    xattrs = {"SCHILY.xattr.security.capability": value, "SCHILY.xattr.user.note": "kept"}
    assert made["odd/sparse"] == (tarfile.REGTYPE, 0o644, 0, 0, 50_000_001, "", {})
    assert made["odd/big"] == (tarfile.REGTYPE, 0o644, UID, UID + 1, 0, "", {})
    assert made["odd/bind"] == (tarfile.REGTYPE, 0o4755, 0, 0, 0, "", xattrs)
    assert {"odd/\udcff\udcfe", "odd/hard", "odd/soft", "odd/fifo", "odd/sticky"} < set(made)

    saved = tmp_path / "saved.tar"
    own.docker("save", "-o", str(saved), f"{HOST}/odd:2")
    with own.registry(HOST):
        own.docker("push", f"{HOST}/odd:2")
        forget(own)
        own.docker("load", "-i", str(saved))
        assert facts(own, f"{HOST}/odd:2", tmp_path / "loaded.tar") == made
        forget(own)
        own.docker("pull", f"{HOST}/odd:2")
    assert facts(own, f"{HOST}/odd:2", tmp_path / "pulled.tar") == made


def forget(own: Daemon) -> None:
    """Remove all containers, and all images but the one they were made of."""
    own.docker("rm", "-f", *own.docker("ps", "-aq").split())
    own.docker("rmi", "-f", f"{HOST}/odd:2", check=False)
    own.docker("rmi", "-f", "odd:1", check=False)
    assert own.docker("images", "-q").split() == own.docker("images", "-q", IMAGE).split()


def taken(directory: Path) -> int:
    """Return the bytes that all below a directory takes on the disk."""
    total = 0
    for parent, directories, files in os.walk(directory):
        for name in (*directories, *files):
            # The files of containers that ended are removed meanwhile.
            with contextlib.suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_blocks * 512
    return total


def test_a_sparse_file_takes_no_more_than_its_data_wherever_it_goes(own: Daemon, tmp_path: Path) -> None:
    size, data = 1 << 29, 1 << 20
    script = f"truncate -s {size} /sparse && dd if=/dev/urandom of=/sparse bs={data} count=1 seek=200 conv=notrunc"
    own.docker("run", "--name", "maker", IMAGE, "sh", "-ec", script)
    before = taken(own.data_root)

    def look_at(image: str) -> str:
        look = ("sh", "-ec", "stat -c '%s %b' /sparse; sha256sum < /sparse | cut -c1-8")
        length, blocks, digest = own.docker("run", "--rm", image, *look, timeout=100).split()
        assert int(length) == size
        assert int(blocks) * 512 < 8 * data
        return digest

    own.docker("commit", "maker", "sparse:1", timeout=100)
    made = look_at("sparse:1")
    with subprocess.Popen(
        ["docker", "-H", f"unix://{own.socket}", "export", "maker"], stdout=subprocess.PIPE
    ) as exporting:  # fmt: skip
        assert exporting.stdout is not None
        subprocess.run(
            ["docker", "-H", f"unix://{own.socket}", "import", "-", "sparse:2"],
            stdin=exporting.stdout, check=True, capture_output=True, timeout=100,
        )  # fmt: skip
    assert look_at("sparse:2") == made
    # Two layers and two blobs, and what else there is to them.
    wait_until(lambda: taken(own.data_root) - before < 20 * data, what="the rest to be removed")
