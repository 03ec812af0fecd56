"""Which files are descriptions of devices."""

import json
from typing import Any

import pytest

from moorage.oci.cdi import InvalidSpecificationError, minimum_version, parse_specification

NODE = {"deviceNodes": [{"path": "/dev/x"}]}


def text(version: str = "1.1.0", kind: str = "vendor.com/thing", **fields: Any) -> bytes:
    devices = [{"name": "a", "containerEdits": NODE}]
    return json.dumps({"cdiVersion": version, "kind": kind, "devices": devices, **fields}).encode()


def edited(**edits: Any) -> bytes:
    return text(containerEdits=edits)


def test_json_and_yaml_are_the_same() -> None:
    assert parse_specification(text(), yaml=False) == parse_specification(text(), yaml=True)
    found = parse_specification(
        b"cdiVersion: 0.3.0\nkind: v.com/c\ndevices:\n- name: a\n  containerEdits: {env: [A=1]}\n", yaml=True
    )
    assert (found.kind, minimum_version(found)) == ("v.com/c", "0.3.0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "failed to unmarshal CDI Spec"),
        (text(colour="blue"), "unknown field `colour`"),
        (text("9.0.0"), 'invalid version "9.0.0"'),
        (text("0.5.0", containerEdits={"additionalGids": [5]}), "the spec version must be at least v0.7.0"),
        (text("0.7.0", containerEdits={"intelRdt": {"enableMonitoring": True}}), "must be at least v1.1.0"),
        (text("0.5.0", kind="v.com/a.b"), "must be at least v0.6.0"),
        (text("0.3.0", devices=[{"name": "0", "containerEdits": NODE}]), "must be at least v0.5.0"),
        (text(kind="vendor.com"), 'invalid kind "vendor.com"'),
        (text(kind="7.com/x"), 'invalid kind "7.com/x"'),
        (text(devices=[]), "invalid spec, no devices"),
        (text(devices=[{"name": "a", "containerEdits": {}}]), "empty device edits"),
        (text(devices=[{"name": "a/b", "containerEdits": NODE}]), 'invalid device name "a/b"'),
        (text(devices=[{"name": "a", "containerEdits": NODE}] * 2), 'multiple device "a"'),
        (edited(env=["A"]), 'invalid environment variable "A"'),
        (edited(deviceNodes=[{"path": ""}]), r"invalid \(empty\) device path"),
        (edited(deviceNodes=[{"path": "/x", "type": "z"}]), 'device "/x": invalid type "z"'),
        (edited(deviceNodes=[{"path": "/x", "permissions": "rx"}]), 'device "/x": invalid permissions "rx"'),
        (edited(hooks=[{"hookName": "later", "path": "/x"}]), 'invalid hook name "later"'),
        (edited(hooks=[{"hookName": "poststop", "path": ""}]), "with empty path"),
        (edited(mounts=[{"hostPath": "", "containerPath": "/x"}]), "invalid mount, empty host path"),
        (edited(intelRdt={"closID": "a/b"}), "invalid ClosID"),
        (edited(netDevices=[{"hostInterfaceName": "a", "name": "x"}] * 2), "duplicate HostInterfaceName"),
        (edited(netDevices=[{"hostInterfaceName": "a", "name": ""}]), "empty Name"),
    ],
)
def test_what_is_no_description(content: bytes, message: str) -> None:
    with pytest.raises(InvalidSpecificationError, match=message):
        parse_specification(content, yaml=False)


def test_broken_yaml() -> None:
    with pytest.raises(InvalidSpecificationError, match="failed to unmarshal CDI Spec"):
        parse_specification(b"a: [", yaml=True)
