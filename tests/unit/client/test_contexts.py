"""Which engine is meant: the command line, the environment, and Docker's contexts."""

import hashlib
import json
from pathlib import Path

import pytest

from moorage.api.versions import Version
from moorage.client.context_store import ContextError
from moorage.client.contexts import (
    ConflictingAddressError,
    TLSChoice,
    chosen_address,
    current_context,
    pinned_version,
)
from moorage.client.user_settings import UserSettingsError


def store(directory: Path, name: str, host: str, *, files: tuple[str, ...] = ()) -> dict[str, str]:
    identity = hashlib.sha256(name.encode()).hexdigest()
    meta = directory / "contexts" / "meta" / identity
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    tls = directory / "contexts" / "tls" / identity / "docker"
    for file in files:
        tls.mkdir(parents=True, exist_ok=True)
        (tls / file).touch()
    return {"DOCKER_CONFIG": str(directory)}


def test_a_context_is_read_from_dockers_store(tmp_path: Path) -> None:
    environment = store(tmp_path, "lab", "tcp://lab:2376", files=("ca.pem", "key.pem", "cert.pem"))
    address = chosen_address(context="lab", environment=environment)
    assert (address.host, address.port) == ("lab", 2376)
    assert address.tls is not None
    assert address.tls.verify
    assert address.tls.key is not None
    assert chosen_address(environment={**environment, "DOCKER_CONTEXT": "lab"}).host == "lab"
    # A host of the environment is nearer than its context.
    nearer = {**environment, "DOCKER_CONTEXT": "lab", "DOCKER_HOST": "unix:///x.sock"}
    assert chosen_address(environment=nearer).path == "/x.sock"
    assert chosen_address(context="lab", environment=nearer).host == "lab"
    assert chosen_address(context="default", environment=environment).path == "/run/moorage/moorage.sock"


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match=r'context "lab": context not found: open .*meta\.json: no such file'):
        chosen_address(context="lab", environment={"DOCKER_CONFIG": str(tmp_path)})
    with pytest.raises(ConflictingAddressError, match="cannot specify both --host and --context"):
        chosen_address("unix:///x", context="lab", environment={})


def test_files_of_the_command_line_are_nearer_than_the_environments() -> None:
    environment = {"DOCKER_CERT_PATH": "/certs"}
    chosen = chosen_address("tcp://lab:2376", tls=TLSChoice(verify=True, key="/own/key.pem"), environment=environment)
    assert chosen.tls is not None
    assert (chosen.tls.verify, str(chosen.tls.ca), str(chosen.tls.key)) == (True, "/certs/ca.pem", "/own/key.pem")
    plain = chosen_address("tcp://lab:2375", tls=TLSChoice(), environment=environment)
    assert plain.tls is None
    unchecked = chosen_address("tcp://lab:2376", tls=TLSChoice(encrypt=True), environment=environment)
    assert unchecked.tls is not None
    assert not unchecked.tls.verify


def test_a_version_can_be_pinned() -> None:
    assert pinned_version({}) is None
    assert pinned_version({"DOCKER_API_VERSION": "1.41"}) == Version(1, 41)
    assert pinned_version({"DOCKER_API_VERSION": "1.41", "MOORAGE_API_VERSION": "1.44"}) == Version(1, 44)


def test_what_context_use_chose_counts_when_nothing_nearer_is_named(tmp_path: Path) -> None:
    environment = store(tmp_path, "lab", "tcp://lab:2376")
    store(tmp_path, "other", "tcp://other:2376")
    (tmp_path / "config.json").write_text('{"currentContext": "lab"}')
    assert chosen_address(environment=environment).host == "lab"
    assert chosen_address(environment={**environment, "DOCKER_CONTEXT": "other"}).host == "other"
    assert chosen_address(environment={**environment, "DOCKER_HOST": "unix:///x.sock"}).path == "/x.sock"
    assert chosen_address("unix:///y.sock", environment=environment).path == "/y.sock"
    assert chosen_address(context="default", environment=environment).path == "/run/moorage/moorage.sock"
    assert current_context("unix:///y.sock", environment=environment) == "default"


def test_settings_that_cannot_be_read_are_no_reason_to_go_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserSettingsError, match=r"config\.json"):
        chosen_address(environment={"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("lab", "tcp://lab:2375"),
        ("lab:99", "tcp://lab:99"),
        (":99", "tcp://localhost:99"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://:99", "tcp://localhost:99"),
        ("[::1]:99", "tcp://[::1]:99"),
        ("unix://", "unix:///run/moorage/moorage.sock"),
        ("unix:///x.sock", "unix:///x.sock"),
        ("ssh://lab", "ssh://lab"),
    ],
)
def test_what_an_address_leaves_out_is_taken_for_granted(text: str, whole: str) -> None:
    assert chosen_address(text, environment={}).text == whole
    assert chosen_address(environment={"DOCKER_HOST": text}).text == whole
