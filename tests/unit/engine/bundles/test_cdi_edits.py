"""What the edits of a described device do to a configuration."""

import os
import stat
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moorage.engine.bundles.cdi_edits import HostDeviceError, apply_edits
from moorage.oci.cdi import ContainerEdits, DeviceNode, Hook, IntelRdt, Mount, NetDevice


def spec(**user: int) -> dict[str, Any]:
    return {
        "process": {"env": ["A=1"], "user": {"uid": 0, "gid": 0, **user}},
        "mounts": [{"destination": "/proc"}, {"destination": "/opt/a/b"}],
        "linux": {"resources": {"devices": []}},
    }


def node_on_host(mode: int, *, major: int = 7, minor: int = 3) -> Callable[[str], os.stat_result]:
    found = SimpleNamespace(st_mode=mode, st_rdev=os.makedev(major, minor))
    # What is asked of it is there; a real one can't be made of parts.
    return lambda _: cast("os.stat_result", found)


def missing(_: str) -> os.stat_result:
    raise FileNotFoundError(2, "No such file or directory")


def apply(found: dict[str, Any], *, lstat: Callable[[str], os.stat_result] = missing, **edits: Any) -> dict[str, Any]:
    apply_edits(found, [ContainerEdits(**edits)], lstat=lstat)
    return found


def test_a_node_is_completed_from_the_host_and_belongs_to_its_user() -> None:
    found = spec(uid=5)
    apply(found, lstat=node_on_host(stat.S_IFBLK | 0o640), device_nodes=[DeviceNode(path="/dev/x", permissions="r")])
    assert found["linux"]["devices"] == [
        {"path": "/dev/x", "type": "b", "major": 7, "minor": 3, "fileMode": 0o640, "uid": 5}
    ]
    rule = {"allow": True, "type": "b", "major": 7, "minor": 3, "access": "r"}
    assert found["linux"]["resources"]["devices"] == [rule]


def test_a_node_replaces_one_of_the_same_path_and_may_be_complete_by_itself() -> None:
    found = spec()
    found["linux"]["devices"] = [{"path": "/dev/x", "type": "c"}]
    apply(found, device_nodes=[DeviceNode(path="/dev/x", type="c", major=9), DeviceNode(path="/dev/pipe", type="p")])
    assert found["linux"]["devices"] == [
        {"path": "/dev/x", "type": "c", "major": 9, "minor": 0},
        {"path": "/dev/pipe", "type": "p"},
    ]
    assert len(found["linux"]["resources"]["devices"]) == 1


@pytest.mark.parametrize(
    ("node", "lstat", "message"),
    [
        (DeviceNode(path="/dev/x"), missing, 'failed to stat CDI host device "/dev/x": no such file or directory'),
        (DeviceNode(path="/dev/x"), node_on_host(stat.S_IFREG), "not a device node"),
        (DeviceNode(path="/dev/x", type="b"), node_on_host(stat.S_IFCHR), r"host type mismatch \(b, c\)"),
    ],
)
def test_nodes_that_the_host_does_not_have(
    node: DeviceNode, lstat: Callable[[str], os.stat_result], message: str
) -> None:
    with pytest.raises(HostDeviceError, match=message):
        apply(spec(), lstat=lstat, device_nodes=[node])


def test_everything_else() -> None:
    found = apply(
        spec(),
        env=["A=2", "B=3"],
        mounts=[Mount(host_path="/h", container_path="/opt"), Mount(host_path="/p", container_path="/proc")],
        hooks=[Hook(hook_name="poststop", path="/x", timeout=3)],
        net_devices=[NetDevice(host_interface_name="veth7", name="net0")],
        intel_rdt=IntelRdt(clos_id="fast"),
        additional_gids=[0, 7, 7],
    )  # fmt: skip
    assert found["process"]["env"] == ["A=2", "B=3"]
    assert [mount["destination"] for mount in found["mounts"]] == ["/opt", "/proc", "/opt/a/b"]
    assert found["hooks"] == {"poststop": [{"path": "/x", "timeout": 3}]}
    assert found["linux"]["netDevices"] == {"veth7": {"name": "net0"}}
    assert found["linux"]["intelRdt"] == {"closID": "fast"}
    assert found["process"]["user"]["additionalGids"] == [7]
