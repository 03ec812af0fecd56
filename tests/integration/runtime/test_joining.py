"""Processes added to a running container, and containers that share namespaces."""

import os
import select
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runtime.bundles import Bundle, Spec, isolated

pytestmark = pytest.mark.needs("root")


def add(bundle: Bundle, *arguments: str, change: Any = None, **description: Any) -> dict[str, Any]:
    """Run a command in a running container."""

    def body() -> dict[str, Any]:
        init = bundle.start_here("sleep", "60", change=change)
        facts = bundle.add_here(init, *arguments, **description)
        bundle.end_here(init)
        return facts

    result: dict[str, Any] = isolated(body)
    return result


def test_it_is_in_all_namespaces_of_the_container(bundle: Bundle) -> None:
    script = "for kind in mnt net uts ipc pid; do ls -l /proc/1/ns/$kind /proc/self/ns/$kind; done"
    lines = add(bundle, "sh", "-c", script)["output"].splitlines()
    targets = [line.rsplit(" ", 1)[1] for line in lines]
    assert targets[0::2] == targets[1::2]


def test_it_is_in_the_containers_cgroup(bundle: Bundle) -> None:
    output = add(bundle, "sh", "-c", "cat /proc/self/cgroup; echo --; cat /proc/1/cgroup")["output"]
    own, first = output.split("--\n")
    assert own == first


def test_exit_code(bundle: Bundle) -> None:
    assert add(bundle, "sh", "-c", "exit 9")["code"] == 9


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_unusable_command(bundle: Bundle, command: str, code: int, message: str) -> None:
    facts = add(bundle, command)
    assert (facts["code"], facts["error"]) == (code, message)


def test_a_container_that_has_ended_is_what_is_told(bundle: Bundle) -> None:
    def body() -> dict[str, Any]:
        init = bundle.start_here("sleep", "60")
        os.kill(init.pid, signal.SIGKILL)
        # It has ended, and nobody has been told yet.
        select.select([init.pidfd], [], [])
        facts = bundle.add_here(init, "true")
        bundle.end_here(init)
        return facts

    facts = isolated(body)
    assert (facts["code"], facts["error"]) == (126, "cannot exec in a stopped container")


def test_own_user_directory_and_environment(bundle: Bundle) -> None:
    facts = add(
        bundle,
        "sh",
        "-c",
        "id -u; pwd; echo $X",
        user={"uid": 1000, "gid": 1000},
        cwd="/etc",
        env=["PATH=/bin", "X=y"],
    )
    assert facts["output"].split() == ["1000", "/etc", "y"]


def test_terminal(bundle: Bundle) -> None:
    assert add(bundle, "tty", terminal=True)["output"] == "/dev/pts/0\r\n"


def test_seccomp_holds_for_it_too(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        rule = {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71}
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    assert "Protocol error" in add(bundle, "hostname", "x", change=change)["output"]


def test_user_namespace_is_joined_as_its_root(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["namespaces"].append({"type": "user"})
        mappings = [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 100001, "size": 65535}]
        spec["linux"] |= {"uidMappings": mappings, "gidMappings": mappings}

    output = add(bundle, "sh", "-c", "id -u; cat /proc/self/uid_map", change=change)["output"]
    assert output.split()[:4] == ["0", "0", "0", "1"]


def test_paused_container_takes_no_process(bundle: Bundle) -> None:
    def body() -> dict[str, Any]:
        init = bundle.start_here("sleep", "60")
        init.cgroup.freeze()
        facts = bundle.add_here(init, "true")
        init.cgroup.thaw()
        bundle.end_here(init)
        return facts

    assert "cannot exec in a paused container" in isolated(body)["error"]


@pytest.mark.parametrize("kind", ["network", "uts", "ipc", "pid"])
def test_container_joins_another_ones_namespace(bundle: Bundle, tmp_path: Path, kind: str) -> None:
    file = {"network": "net"}.get(kind, kind)
    other = Bundle(tmp_path / "other")

    def body() -> list[str]:
        init = bundle.start_here("sleep", "60")

        def change(spec: Spec) -> None:
            spec["linux"]["cgroupsPath"] += "-other"
            spec["linux"]["namespaces"] = [
                {"type": one["type"], "path": f"/proc/{init.pid}/ns/{file}"} if one["type"] == kind else one
                for one in spec["linux"]["namespaces"]
            ]
            if kind == "uts":
                del spec["hostname"]

        own = Path(f"/proc/{init.pid}/ns/{file}").readlink()
        facts = other.run_here("ls", "-l", f"/proc/self/ns/{file}", change=change)
        bundle.end_here(init)
        return [str(own), facts["output"].split()[-1], facts["error"]]

    own, others, error = isolated(body)
    assert error == ""
    assert own == others


def test_container_with_its_own_users_joins_a_network(bundle: Bundle, tmp_path: Path) -> None:
    other = Bundle(tmp_path / "other")

    def body() -> list[str]:
        init = bundle.start_here("sleep", "60")

        def change(spec: Spec) -> None:
            linux = spec["linux"]
            linux["cgroupsPath"] += "-other"
            mappings = [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 100001, "size": 65535}]
            linux |= {"uidMappings": mappings, "gidMappings": mappings}
            linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "network"]
            linux["namespaces"] += [{"type": "user"}, {"type": "network", "path": f"/proc/{init.pid}/ns/net"}]
            spec["mounts"] = [entry for entry in spec["mounts"] if entry["type"] != "sysfs"]
            linux["maskedPaths"] = []

        own = Path(f"/proc/{init.pid}/ns/net").readlink()
        facts = other.run_here("ls", "-l", "/proc/self/ns/net", change=change)
        bundle.end_here(init)
        return [str(own), facts["output"].split()[-1] if facts["output"] else "", facts["error"]]

    own, others, error = isolated(body)
    assert error == ""
    assert own == others


def test_clocks_of_a_time_namespace(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["namespaces"].append({"type": "time"})
        spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1_000_000_000}}

    output = bundle.run("cat", "/proc/uptime", change=change).output
    assert float(output.split()[0]) > 1_000_000_000
