"""Images mounted in containers: `--mount type=image`, with the real docker command."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import CommandError, Daemon, daemon

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "docker-cli")

LOWER = (
    "mkdir -p /tree/sub /tree/links && echo bar > /tree/foo && echo old > /tree/sub/hello"
    " && echo low > /tree/sub/low && echo gone > /tree/sub/gone && ln -s ../sub /tree/links/good"
    " && ln -s ../../../../../etc/outside /tree/links/bad"
)
UPPER = "rm /tree/sub/gone && echo world > /tree/sub/hello"


def build(made: Daemon, name: str) -> None:
    """Make an image of three layers, one of which removes and replaces files of another."""
    made.docker("run", "--name", "lower", "busybox", "sh", "-c", LOWER)
    made.docker("commit", "lower", f"{name}-lower")
    made.docker("run", "--name", "upper", f"{name}-lower", "sh", "-c", UPPER)
    made.docker("commit", "upper", name)
    made.docker("rm", "lower", "upper")


@pytest.fixture
def data(moord: Daemon) -> str:
    """The image `data`."""
    if not moord.docker("images", "-q", "data"):
        build(moord, "data")
    return "data"


@pytest.fixture
def copied() -> Iterator[Daemon]:
    """A daemon whose layers are copies, with the image `data`."""
    with daemon() as made:
        made.start("--storage-driver", "vfs")
        made.load_busybox()
        build(made, "data")
        yield made
        made.assert_no_leaks()


def create(made: Daemon, *, source: str, version: str = "1.48") -> str:
    """Create a container that mounts an image, without the command line, which pulls what is missing."""
    mounts = [{"Type": "image", "Source": source, "Target": "/i"}]
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Mounts": mounts}}
    return made.api("POST", f"/v{version}/containers/create", body)


def read(made: Daemon, subpath: str, *command: str) -> str:
    mount = f"type=image,src=data,dst=/i,image-subpath={subpath}"
    return made.docker("run", "--rm", "--mount", mount, "busybox", *command)


def test_an_image_shows_its_merged_files_and_nothing_can_be_written(moord: Daemon, data: str) -> None:
    mounts = [word for place in ("/one", "/two") for word in ("--mount", f"type=image,src={data},dst={place}")]
    moord.docker("run", "-d", "--name", "user", *mounts, "busybox", "sleep", "1000")
    for place in ("/one", "/two"):
        assert moord.docker("exec", "user", "ls", f"{place}/tree/sub").split() == ["hello", "low"]
        assert moord.docker("exec", "user", "cat", f"{place}/tree/sub/hello") == "world"
        assert "Read-only file system" in moord.run("exec", "user", "touch", f"{place}/x").stderr
    privileged = ("--rm", "--privileged", *mounts, "busybox", "sh", "-c", "mount -o remount,rw /one; touch /one/x")
    assert "Read-only file system" in moord.run("run", *privileged).stderr
    shown = json.loads(moord.docker("inspect", "-f", "{{json .Mounts}}", "user"))
    assert sorted((each["Type"], each["Name"], each["Destination"], each["RW"]) for each in shown) == [
        ("image", "data", "/one", False),
        ("image", "data", "/two", False),
    ]
    assert moord.docker("run", "--rm", "--volumes-from", "user", "busybox", "cat", "/two/tree/foo") == "bar"


def test_a_subpath_is_a_directory_or_a_file_inside_the_image(moord: Daemon, data: str) -> None:
    assert read(moord, "tree/sub", "ls", "/i").split() == ["hello", "low"]
    assert read(moord, "tree/links/good", "cat", "/i/hello") == "world"
    assert read(moord, "tree/sub/hello", "cat", "/i") == "world"
    mount = f"type=image,src={data},dst=/i,image-subpath=tree/sub/low"
    assert "Read-only" in moord.run("run", "--rm", "--mount", mount, "busybox", "sh", "-c", "echo x > /i").stderr


@pytest.mark.parametrize("subpath", ["nothing", "tree/sub/gone", "tree/links/bad"])
def test_a_subpath_that_leads_to_nothing_in_the_image_fails_the_start(moord: Daemon, data: str, subpath: str) -> None:
    mount = f"type=image,src={data},dst=/i,image-subpath={subpath}"
    moord.docker("create", "--name", "user", "--mount", mount, "busybox", "true")
    assert f"cannot access path data/{subpath}: no such file or directory" in moord.run("start", "user").stderr


def test_what_can_never_be_mounted_is_refused_at_once(moord: Daemon, data: str) -> None:
    mount = f"type=image,src={data},dst=/i,image-subpath=../etc"
    refused = moord.run("create", "--mount", mount, "busybox", "true")
    assert "subpath must be a relative path within the volume" in refused.stderr
    with pytest.raises(CommandError, match=r"404 .*No such image: nothing:latest"):
        create(moord, source="nothing")
    with pytest.raises(CommandError, match=r"400 .*needs API v1\.48"):
        create(moord, source=data, version="1.47")
    assert moord.docker("ps", "-aq") == ""


def test_an_image_stays_while_a_container_mounts_it(moord: Daemon) -> None:
    build(moord, "kept")
    image_id = moord.docker("image", "inspect", "-f", "{{.Id}}", "kept").removeprefix("sha256:")[:12]
    moord.docker("run", "-d", "--name", "user", "--mount", "type=image,src=kept,dst=/i", "busybox", "sleep", "1000")
    container = moord.inspect("user", ".Id")[:12]
    refused = moord.run("rmi", "kept")
    assert f"container {container} is using its referenced image {image_id}" in refused.stderr
    assert f"image is being used by running container {container}" in moord.run("rmi", "-f", image_id).stderr
    moord.docker("image", "prune", "-af")
    assert moord.docker("images", "-q", "kept") == image_id
    moord.docker("stop", "-t", "0", "user")
    moord.docker("rmi", "-f", "kept")
    assert moord.docker("images", "-q", "kept") == ""
    moord.docker("start", "user")
    assert moord.docker("exec", "user", "cat", "/i/tree/sub/hello") == "world"
    moord.docker("rm", "-f", "user")


def test_copies_see_a_stopped_container_s_image(moord: Daemon, data: str, tmp_path: Path) -> None:
    moord.docker("create", "--name", "user", "--mount", f"type=image,src={data},dst=/i", "busybox", "true")
    moord.docker("cp", "user:/i/tree/foo", str(tmp_path))
    assert (tmp_path / "foo").read_text() == "bar\n"
    assert "read-only" in moord.run("cp", str(tmp_path / "foo"), "user:/i/tree/new").stderr


def test_a_mounted_image_outlives_the_daemon_and_leaves_nothing(own: Daemon) -> None:
    build(own, "data")
    mount = ("--mount", "type=image,src=data,dst=/i")
    own.docker("run", "-d", "--name", "user", *mount, "busybox", "sleep", "1000")
    own.kill()
    own.start()
    assert own.docker("exec", "user", "cat", "/i/tree/sub/hello") == "world"
    own.kill()
    own.start()
    own.docker("restart", "-t", "0", "user")
    assert own.docker("exec", "user", "cat", "/i/tree/foo") == "bar"
    assert "is using its referenced image" in own.run("rmi", "data").stderr
    own.docker("rm", "-f", "user")
    own.docker("rmi", "data")
    own.assert_no_leaks()


def test_an_image_of_copied_layers(copied: Daemon) -> None:
    assert read(copied, "tree/links/good", "ls", "/i").split() == ["hello", "low"]
    assert read(copied, "tree/sub/hello", "cat", "/i") == "world"
    mount = ("--mount", "type=image,src=data,dst=/i", "busybox", "touch", "/i/x")
    assert "Read-only file system" in copied.run("run", "--rm", *mount).stderr
