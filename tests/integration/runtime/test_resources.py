"""Control groups of containers: limits in force, and nothing left."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runtime.bundles import Bundle, Spec, isolated

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
        deadline = time.monotonic() + 10
        while len(init.cgroup.procs()) < 2:
            assert time.monotonic() < deadline
        bundle.end_here(init)
        return [Path(directory).exists() for directory in directories]

    assert set(isolated(body)) == {False}


def test_value_that_the_host_can_not_set_is_named(bundle: Bundle) -> None:
    change = with_resources(hugepageLimits=[{"pageSize": "3MB", "limit": 1}])
    assert "hugetlb" in bundle.run("true", change=change).error
