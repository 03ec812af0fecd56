"""Hooks run in their order, in their places, and stop a start that they refuse."""

import json
from pathlib import Path

import pytest

from tests.integration.runtime.bundles import BUSYBOX, Bundle, Spec

pytestmark = pytest.mark.needs("root")

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def hook(script: str, **more: object) -> dict[str, object]:
    """Return a hook that runs a shell script; busybox is at the same place inside."""
    return {"path": str(BUSYBOX), "args": ["sh", "-c", script], **more}


def test_all_kinds_in_order_with_the_state_on_their_input(bundle: Bundle, tmp_path: Path) -> None:
    record = tmp_path / "rootfs/record"
    record.touch()

    def change(spec: Spec) -> None:
        spec["annotations"] = {"a": "b"}
        spec["hooks"] = {}
        for kind in KINDS:
            # The one that runs inside knows the file by another name.
            path = "/record" if kind == "startContainer" else record
            spec["hooks"][kind] = [hook(f"{BUSYBOX} cat >> {path}; echo >> {path}")]

    assert bundle.run("true", change=change).code == 0
    states = [json.loads(line) for line in record.read_text().splitlines()]
    assert [state["status"] for state in states] == ["created", "creating", "creating", "created", "running", "stopped"]
    assert {(state["id"], state["bundle"], state["annotations"]["a"]) for state in states} == {
        ("c1", str(tmp_path), "b")
    }
    assert len({state["pid"] for state in states}) == 1


def test_hooks_of_one_kind_run_in_turn_and_with_their_own_environment(bundle: Bundle, tmp_path: Path) -> None:
    record = tmp_path / "record"

    def change(spec: Spec) -> None:
        script = f"echo $NAME $HOME >> {record}"
        spec["hooks"] = {"createRuntime": [hook(script, env=["NAME=1"]), hook(script, env=["NAME=2"])]}

    assert bundle.run("true", change=change).code == 0
    assert record.read_text().splitlines() == ["1", "2"]


def test_mounts_are_there_for_hooks_before_the_root_changes(bundle: Bundle, tmp_path: Path) -> None:
    def change(spec: Spec) -> None:
        script = f"{BUSYBOX} stat -f -c %T {tmp_path}/rootfs/dev > {tmp_path}/record"
        spec["hooks"] = {"createContainer": [hook(script)]}

    assert bundle.run("true", change=change).code == 0
    assert (tmp_path / "record").read_text() == "tmpfs\n"


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer"])
def test_a_hook_that_fails_ends_the_start(bundle: Bundle, kind: str) -> None:
    def change(spec: Spec) -> None:
        spec["hooks"] = {kind: [hook("echo no luck; exit 3")]}

    assert bundle.run("true", change=change).error == f"error running {kind} hook #0: exit status 3, output: no luck"


@pytest.mark.parametrize("kind", ["poststart", "poststop"])
def test_a_hook_that_fails_too_late_only_warns(bundle: Bundle, kind: str) -> None:
    def change(spec: Spec) -> None:
        spec["hooks"] = {kind: [hook("exit 3")]}

    outcome = bundle.run("true", change=change)
    assert (outcome.code, outcome.warnings) == (0, [f"error running {kind} hook #0: exit status 3, output: "])


def test_a_hook_that_takes_too_long_is_killed(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["hooks"] = {"prestart": [{"path": str(BUSYBOX), "args": ["sleep", "60"], "timeout": 1}]}

    assert "context deadline exceeded" in bundle.run("true", change=change).error


def test_a_hook_that_is_missing_is_named(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["hooks"] = {"prestart": [{"path": "/no/such/hook"}]}

    assert bundle.run("true", change=change).error == "error running prestart hook #0: no such file or directory"
