"""``moor context`` on a store of its own."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click.testing
import pytest

from moorage.cli.context_archives import packed, unpacked
from moorage.cli.main import moor
from moorage.client.context_store import Context, ContextError
from moorage.errors import MoorageError

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n"


class Moor:
    """Runs ``moor`` with a directory of settings of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *words: str, data: bytes = b"", **variables: Any) -> click.testing.Result:
        blank: Mapping[str, str | None] = {"DOCKER_HOST": None, "MOORAGE_HOST": None, "DOCKER_CONTEXT": None}
        environment = {**blank, "DOCKER_CONFIG": str(self.directory), **variables}
        return click.testing.CliRunner().invoke(moor, words, input=data, env=environment)

    def __call__(self, *words: str, **variables: Any) -> str:
        done = self.run("context", *words, **variables)
        if done.exception is not None:
            raise done.exception
        return done.stdout


@pytest.fixture
def context(tmp_path: Path) -> Moor:
    return Moor(tmp_path / "settings")


def test_a_context_is_made_used_and_removed(context: Moor) -> None:
    assert context("create", "lab", "--docker", "host=tcp://lab:2375", "--description", "a lab") == "lab\n"
    assert context("show") == "default\n"
    assert context("use", "lab") == "lab\n"
    assert context("show") == "lab\n"
    assert json.loads((context.directory / "config.json").read_text()) == {"currentContext": "lab"}
    with pytest.raises(SystemExit):
        context("rm", "lab")
    assert context("ls", "-q") == "default\nlab\n"
    assert context("rm", "-f", "lab") == "lab\n"
    assert context("show") == "default\n"
    assert context("ls", "-q") == "default\n"


def test_using_a_context_keeps_the_other_settings(context: Moor) -> None:
    context.directory.mkdir()
    (context.directory / "config.json").write_text('{"auths": {"x": {}}}')
    context("create", "lab", "--docker", "host=tcp://lab:2375")
    context("use", "lab")
    context("use", "default")
    assert json.loads((context.directory / "config.json").read_text()) == {"auths": {"x": {}}}


def test_the_list_marks_the_current_one(context: Moor) -> None:
    context("create", "lab", "--docker", "host=tcp://lab:2375", "--description", "a lab")
    rows = [line.split("  ")[0] for line in context("ls", DOCKER_CONTEXT="lab").splitlines()]
    assert rows == ["NAME", "default", "lab *"]
    shown = [json.loads(line) for line in context("ls", "--format", "json").splitlines()]
    assert shown[1] == {
        "Current": False, "Description": "a lab", "DockerEndpoint": "tcp://lab:2375", "Error": "", "Name": "lab",
    }  # fmt: skip


def test_a_current_context_that_is_missing_is_listed_with_the_reason(context: Moor) -> None:
    shown = [json.loads(line) for line in context("ls", "--format", "json", DOCKER_CONTEXT="gone").splitlines()]
    assert [(one["Name"], one["Current"]) for one in shown] == [("default", False), ("gone", True)]
    assert shown[1]["Error"].startswith('context "gone": context not found')


def test_a_variable_that_is_nearer_is_told(context: Moor) -> None:
    context("create", "lab", "--docker", "host=tcp://lab:2375")
    done = context.run("context", "use", "lab", DOCKER_HOST="unix:///y.sock")
    assert 'Warning: DOCKER_HOST environment variable overrides the active context. To use "lab"' in done.stderr


def test_files_for_tls_are_copied(context: Moor, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(CERTIFICATE + name)
    files = ",".join(f"{name}={tmp_path / name}" for name in ("ca", "cert", "key"))
    context("create", "lab", "--docker", f"host=tcp://lab:2376,{files}")
    context("create", "copy", "--from", "lab")
    (shown,) = json.loads(context("inspect", "copy"))
    assert shown["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    assert Path(shown["Storage"]["TLSPath"], "docker", "key.pem").read_text() == CERTIFICATE + "key"
    # An endpoint is replaced as a whole.
    context("update", "copy", "--docker", "host=tcp://elsewhere:2376")
    assert context("inspect", "-f", "{{.Endpoints.docker.Host}} {{json .TLSMaterial}}", "copy") == (
        "tcp://elsewhere:2376 {}\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "default"], '"default" is a reserved context name'),
        (["create", "a b"], 'context name "a b" is invalid'),
        (["create", "lab"], 'context "lab" already exists'),
        (
            ["create", "new", "--from", "lab", "--docker", "host=unix:///x"],
            "cannot use --docker flag when --from is set",
        ),
        (["create", "new", "--from", "gone"], 'context "gone": context not found'),
        (["create", "new", "--docker", "nope=1"], "config: unrecognized config key: nope"),
        (["create", "new", "--docker", "host=bogus"], "endpoint options: unable to parse docker host `bogus`"),
        (["create", "new", "--docker", "host=tcp://x:1,ca=/nope"], "config: open /nope: no such file or directory"),
        (["create", "new", "--docker", "host=tcp://x:1,ca=/etc/hostname"], "ca.pem seems invalid"),
        (["update", "default"], '"default" is a reserved context name'),
        (["update", "gone"], 'context "gone": context not found'),
        (["use", "gone"], 'context "gone": context not found'),
        (["import", "lab", "-"], 'context "lab" already exists'),
        (["import", "new", "/nope"], "open /nope: no such file or directory"),
    ],
)
def test_refusals_are_in_dockers_words(context: Moor, words: list[str], said: str) -> None:
    context("create", "lab", "--docker", "host=tcp://lab:2375")
    with pytest.raises(MoorageError) as error:
        context(*words)
    assert said in str(error.value)
    assert context("ls", "-q") == "default\nlab\n"


def test_one_bad_name_does_not_stop_a_removal(context: Moor) -> None:
    context("create", "lab", "--docker", "host=tcp://lab:2375")
    done = context.run("context", "rm", "gone", "default", "lab")
    assert (done.stdout, done.exit_code) == ("lab\n", 1)
    assert done.stderr == 'context "gone" does not exist\ncontext "default" cannot be removed\n'


def test_a_context_goes_through_an_archive(context: Moor, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text(CERTIFICATE)
    context("create", "lab", "--description", "a lab", "--docker", f"host=tcp://lab:2376,ca={tmp_path / 'ca'}")
    file = tmp_path / "lab.archive"
    context("export", "lab", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(MoorageError, match="file exists"):
        context("export", "lab", str(file))
    context("import", "copy", str(file))
    assert context.run("context", "import", "piped", "-", data=file.read_bytes()).stdout == "piped\n"
    for name in ("copy", "piped"):
        (shown,) = json.loads(context("inspect", name))
        assert shown["Name"] == name
        assert shown["Metadata"] == {"Description": "a lab"}
        assert shown["TLSMaterial"] == {"docker": ["ca.pem"]}


MADE = (Context(name="lab").at("tcp://lab:1", verify=True), {"docker": {"ca.pem": b"CA"}})


def test_an_archive_that_ends_behind_its_last_entry_is_whole() -> None:
    # Docker writes no end mark, and leaves out what would fill the last block.
    assert unpacked(packed(*MADE).rstrip(b"\0")) == MADE


def test_zip_archives_are_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("meta.json", json.dumps(MADE[0].document()))
        archive.writestr("tls/docker/ca.pem", "CA")
    assert unpacked(buffer.getvalue()) == MADE


@pytest.mark.parametrize("name", ["tls/docker/../../x", "tls/../x", "tls/docker/..", "/tls/docker/x", "x"])
def test_an_archive_puts_nothing_elsewhere(name: str) -> None:
    buffer = io.BytesIO()
    meta = json.dumps(MADE[0].document()).encode()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry, content in (("meta.json", meta), (name, b"evil")):
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert unpacked(buffer.getvalue()) == (MADE[0], {})


@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04junk", b"x" * 2000])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(ContextError):
        unpacked(data)
