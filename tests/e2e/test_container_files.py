"""What becomes of a container's files: copies and images, with the real docker command."""

import json
import os
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, busybox_archive

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "docker-cli")


@pytest.mark.parametrize(
    ("user", "archive", "owner"),
    [("", False, "1234:4321"), ("", True, "1234:4321"), ("7:8", False, "1234:4321"), ("7:8", True, "7:8")],
)
def test_archive_mode_gives_files_to_the_user_that_the_container_names(
    moord: Daemon, tmp_path: Path, user: str, archive: bool, owner: str
) -> None:
    source = tmp_path / "file"
    source.write_text("content")
    os.chown(source, 1234, 4321)
    moord.docker("run", "-d", "--name", "target", "-u", user, "busybox", "sleep", "1000")
    moord.docker("cp", *(["-a"] if archive else []), str(source), "target:/tmp/file")
    assert moord.docker("exec", "target", "stat", "-c", "%u:%g", "/tmp/file") == owner


def test_changes_of_a_commit_apply_to_the_container_s_own_configuration(moord: Daemon) -> None:
    moord.docker("run", "--name", "worked", "-e", "A=1", "busybox", "touch", "/made")
    changes = ["ENV C=$A:more B=2", 'ENTRYPOINT ["sh"]', "LABEL x=y", "EXPOSE 80"]
    moord.docker("commit", *(word for change in changes for word in ("-c", change)), "worked", "committed")
    config = json.loads(moord.docker("inspect", "-f", "{{json .Config}}", "committed"))
    assert config["Env"] == ["A=1", "C=1:more", "B=2"]
    # The command was no argument of the new entry point.
    assert (config["Entrypoint"], config.get("Cmd")) == (["sh"], None)
    moord.docker("rmi", "committed")
    moord.docker("rm", "worked")
    moord.docker("run", "--name", "worked", "busybox", "true")
    moord.docker("commit", "-c", 'CMD ["a"]', "-c", 'ENTRYPOINT ["e"]', "worked", "committed")
    assert (
        moord.docker("inspect", "-f", "{{json .Config.Entrypoint}} {{json .Config.Cmd}}", "committed") == '["e"] ["a"]'
    )
    moord.docker("rmi", "committed")


def test_a_commit_keeps_the_layers_of_an_image_that_was_removed_by_force(moord: Daemon) -> None:
    archive = str(busybox_archive())
    moord.docker("import", "--change", 'CMD ["sh"]', archive, "base")
    moord.docker("create", "--name", "orphan", "base", "sh", "-c", "echo more > /more")
    moord.docker("start", "-a", "orphan")
    moord.docker("rmi", "-f", "base")
    moord.docker("image", "prune", "-f")
    moord.docker("commit", "orphan", "child")
    assert moord.docker("run", "--rm", "child", "cat", "/more") == "more"
    assert moord.docker("history", "-q", "child").count("\n") == 1
    moord.docker("save", "-o", str(moord.base / "child.tar"), "child")
    moord.docker("rm", "orphan")
    moord.docker("rmi", "child")
