"""Contexts are shared with the docker command: what one writes, the other reads."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import make_certificate

pytestmark = [pytest.mark.needs("docker-cli"), pytest.mark.timeout(120)]

DOCKER = ["docker"]
MOOR = [sys.executable, "-c", "from moorage.cli.main import main; main()"]


class Shared:
    """One directory of settings, and both commands on it."""

    def __init__(self, directory: Path) -> None:
        nearer = {"DOCKER_HOST", "MOORAGE_HOST", "DOCKER_CONTEXT"}
        self._environment = {name: value for name, value in os.environ.items() if name not in nearer}
        self._environment["DOCKER_CONFIG"] = str(directory / "settings")

    def run(self, program: list[str], *words: str) -> str:
        command = [*program, "context", *words]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def inspect(self, program: list[str], name: str) -> Any:
        return json.loads(self.run(program, "inspect", name))


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


@pytest.mark.parametrize(("writer", "reader"), [(DOCKER, MOOR), (MOOR, DOCKER)], ids=["docker-moor", "moor-docker"])
def test_what_one_writes_the_other_reads(shared: Shared, tmp_path: Path, writer: list[str], reader: list[str]) -> None:
    make_certificate(tmp_path)
    files = f"ca={tmp_path}/cert,cert={tmp_path}/cert,key={tmp_path}/key"
    shared.run(writer, "create", "lab", "--description", "a lab", "--docker", f"host=tcp://lab:2376,{files}")
    shared.run(writer, "use", "lab")
    assert shared.run(reader, "show") == "lab\n"
    assert shared.inspect(reader, "lab") == shared.inspect(writer, "lab")
    archive = str(tmp_path / "archive")
    shared.run(writer, "export", "lab", archive)
    shared.run(reader, "import", "copy", archive)
    assert shared.inspect(writer, "copy")[0]["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    assert shared.run(reader, "ls", "--format", "{{.Name}} {{.Current}} {{.Description}}").splitlines()[1:] == [
        "default false Current DOCKER_HOST based configuration",
        "lab true a lab",
    ]
    shared.run(reader, "rm", "-f", "lab")
    assert shared.run(writer, "show") == "default\n"
