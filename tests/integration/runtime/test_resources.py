"""Control groups of containers: limits in force, and nothing left."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.cgroups.group import detect
from moorage.cgroups.paths import Layout
from moorage.cgroups.v2 import V2Group
from moorage.runtime import containment
from tests.integration.runtime.bundles import Bundle, Spec, isolated
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")


def with_resources(**resources: Any) -> Any:
    """Return a change that sets resources."""

    def change(spec: Spec) -> None:
        spec["linux"]["resources"] = resources

    return change


def test_number_of_processes_is_limited(bundle: Bundle) -> None:
    change = with_resources(pids={"limit": 3})
    outcome = bundle.run("sh", "-c", "sleep 1 & sleep 1 & sleep 1 & echo reached", change=change)
    assert "fork" in outcome.output


def test_memory_is_limited_and_the_kill_counted(bundle: Bundle) -> None:
    def body() -> list[int]:
        change = with_resources(memory={"limit": 16 << 20, "swap": 16 << 20})
        init = bundle.start_here("sh", "-c", "sleep 60", change=change)
        facts = bundle.add_here(init, "sh", "-c", "x=$(cat /dev/zero | busybox tr '\\0' a)")
        kills = init.cgroup.oom_kill_count()
        bundle.end_here(init)
        return [facts["code"], kills]

    code, kills = isolated(body)
    assert code != 0
    assert kills >= 1


def test_only_allowed_devices_can_be_used(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["devices"] = [
            {"path": "/dev/one", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666},
            {"path": "/dev/port2", "type": "c", "major": 1, "minor": 4, "fileMode": 0o666},
        ]

    script = "busybox head -c 1 /dev/one > /dev/null && echo good; busybox head -c 1 /dev/port2"
    output = bundle.run("sh", "-c", script, change=change).output
    assert "good" in output
    assert "Operation not permitted" in output


def test_pause_and_update_of_a_running_container(bundle: Bundle) -> None:
    def body() -> list[Any]:
        init = bundle.start_here("sleep", "60", change=with_resources(pids={"limit": 50}))
        init.cgroup.freeze()
        frozen = init.cgroup.is_frozen()
        init.cgroup.thaw()
        init.cgroup.apply({"pids": {"limit": 77}})
        directory = init.cgroup.directories["pids"]
        limit = Path(directory, "pids.max").read_text().strip()
        bundle.end_here(init)
        return [frozen, limit, Path(directory).exists()]

    assert isolated(body) == [True, "77", False]


def test_processes_left_behind_are_ended(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        linux = spec["linux"]
        linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "pid"]

    def body() -> list[Any]:
        init = bundle.start_here("sh", "-c", "sleep 60 & sleep 60", change=change)
        directories = set(init.cgroup.directories.values())
        deadline = time.monotonic() + stretched(10)
        while len(init.cgroup.procs()) < 2:
            assert time.monotonic() < deadline
        bundle.end_here(init)
        return [Path(directory).exists() for directory in directories]

    assert set(isolated(body)) == {False}


def test_value_that_the_host_can_not_set_is_named(bundle: Bundle) -> None:
    change = with_resources(hugepageLimits=[{"pageSize": "3MB", "limit": 1}])
    assert "hugetlb" in bundle.run("true", change=change).error


def on_the_unified_hierarchy(body: Callable[[], Any]) -> Any:
    """Run a function as on a host whose only hierarchy is the unified one."""
    unified = detect().unified
    if unified is None:
        pytest.skip("no unified hierarchy is mounted")

    def child() -> Any:
        containment._known_layouts[:] = [Layout((), unified)]
        return body()

    return isolated(child)


def test_child_begins_in_its_cgroup_of_the_unified_hierarchy(bundle: Bundle) -> None:
    def body() -> Any:
        init = bundle.start_here("sleep", "60")
        facts = bundle.add_here(init, "cat", "/proc/self/cgroup", "/proc/1/cgroup")
        directory = init.cgroup.directories.get("") or next(iter(init.cgroup.directories.values()))
        bundle.end_here(init)
        return [facts["output"], init.spec["linux"]["cgroupsPath"], Path(directory).exists()]

    output, path, exists = on_the_unified_hierarchy(body)
    assert output.splitlines().count(f"0::{path}") == 2
    assert not exists


def test_an_added_process_is_not_moved_into_its_cgroup_of_the_unified_hierarchy(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_group: V2Group, _pid: int) -> None:
        raise AssertionError("a move waits for the kernel")

    def body() -> Any:
        init = bundle.start_here("sleep", "60")
        monkeypatch.setattr(V2Group, "add", refuse)
        facts = bundle.add_here(init, "cat", "/proc/self/cgroup")
        bundle.end_here(init)
        return [facts["output"], init.spec["linux"]["cgroupsPath"]]

    output, path = on_the_unified_hierarchy(body)
    assert f"0::{path}" in output.splitlines()


def test_unified_hierarchy_is_shown_from_the_containers_cgroup_on(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["namespaces"].append({"type": "cgroup"})
        spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})

    script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs"
    output = on_the_unified_hierarchy(lambda: bundle.run_here("sh", "-c", script, change=change))["output"]
    assert "0::/" in output.splitlines()
    assert "1" in output.splitlines()


def test_device_rules_of_the_unified_hierarchy(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["devices"] = [{"path": "/dev/port2", "type": "c", "major": 1, "minor": 4, "fileMode": 0o666}]

    script = "busybox head -c 1 /dev/zero > /dev/null && echo good; busybox head -c 1 /dev/port2"
    facts = on_the_unified_hierarchy(lambda: bundle.run_here("sh", "-c", script, change=change))
    assert facts["error"] == ""
    assert "good" in facts["output"]
    assert "Operation not permitted" in facts["output"]
