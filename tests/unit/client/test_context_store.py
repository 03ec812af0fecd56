"""Contexts in Docker's store."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from moorage.client.context_store import Context, ContextError, ContextStore, natural_key


def test_a_context_is_kept_in_dockers_form(tmp_path: Path) -> None:
    store = ContextStore(tmp_path)
    context = Context(name="lab").at("tcp://lab:2376", verify=False).described("a lab")
    store.write(context, {"docker": {"ca.pem": b"CA", "key.pem": b"KEY"}})
    identity = hashlib.sha256(b"lab").hexdigest()
    assert json.loads((tmp_path / "contexts" / "meta" / identity / "meta.json").read_text()) == {
        "Name": "lab",
        "Metadata": {"Description": "a lab"},
        "Endpoints": {"docker": {"Host": "tcp://lab:2376", "SkipTLSVerify": True}},
    }
    key = tmp_path / "contexts" / "tls" / identity / "docker" / "key.pem"
    assert (key.read_bytes(), stat.S_IMODE(key.stat().st_mode)) == (b"KEY", 0o600)
    assert store.find("lab") == context
    assert store.material("lab") == {"docker": {"ca.pem": b"CA", "key.pem": b"KEY"}}


def test_a_change_keeps_what_this_program_does_not_know(tmp_path: Path) -> None:
    store = ContextStore(tmp_path)
    before = Context(name="lab", metadata={"Other": 1}, endpoints={"kubernetes": {"Host": "k"}})
    store.write(before, {"kubernetes": {"ca.pem": b"CA"}})
    store.write(store.find("lab").described("a lab").at("unix:///x", verify=True))
    after = store.find("lab")
    assert after.metadata == {"Other": 1, "Description": "a lab"}
    assert set(after.endpoints) == {"kubernetes", "docker"}
    assert store.material("lab") == {"kubernetes": {"ca.pem": b"CA"}}


def test_new_files_take_the_place_of_all_old_ones(tmp_path: Path) -> None:
    store = ContextStore(tmp_path)
    store.write(Context(name="lab"), {"docker": {"ca.pem": b"CA", "key.pem": b"KEY"}})
    store.write(Context(name="lab"), {})
    assert store.material("lab") == {}


def test_a_removed_context_is_not_there(tmp_path: Path) -> None:
    store = ContextStore(tmp_path)
    store.write(Context(name="lab"), {"docker": {"ca.pem": b"CA"}})
    store.remove("lab")
    assert (store.has("lab"), store.all(), store.material("lab")) == (False, [], {})
    with pytest.raises(ContextError, match='context "lab": context not found: open'):
        store.find("lab")


@pytest.mark.parametrize("content", [b"{", b"[]", b'"text"', b"{}"])
def test_a_damaged_context_is_named(tmp_path: Path, content: bytes) -> None:
    store = ContextStore(tmp_path)
    store.write(Context(name="lab"))
    (store.metadata_path("lab") / "meta.json").write_bytes(content)
    with pytest.raises(ContextError, match='context "lab": parsing'):
        store.find("lab")
    with pytest.raises(ContextError, match="failed to read metadata: parsing"):
        store.all()


def test_numbers_in_names_are_sorted_as_numbers() -> None:
    names = ["node10", "lab", "node2", "10", "9", "node"]
    assert sorted(names, key=natural_key) == ["9", "10", "lab", "node", "node2", "node10"]
