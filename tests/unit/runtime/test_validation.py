"""What is refused before anything is touched."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.runtime.errors import InvalidSpecError
from moorage.runtime.validation import check_container_id, check_spec, sysctl_path

Spec = dict[str, Any]

GOOD: Spec = {
    "ociVersion": "1.2.0",
    "process": {"args": ["sh"], "cwd": "/", "env": ["A=b"], "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"},
    "hostname": "h",
    "mounts": [{"destination": "/proc", "type": "proc"}],
    "linux": {"namespaces": [{"type": kind} for kind in ("mount", "uts", "network", "ipc", "pid")]},
}


def changed(change: Callable[[Spec], object]) -> Spec:
    """Return the good specification with a change."""
    spec = copy.deepcopy(GOOD)
    change(spec)
    return spec


def test_a_usual_specification_passes() -> None:
    check_spec(GOOD)


def test_unknown_properties_are_ignored() -> None:
    check_spec(changed(lambda spec: spec.update(future={"x": 1})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.update(ociVersion="invalid"), "unsupported ociVersion 'invalid'"),
        (lambda spec: spec.update(ociVersion="2.0.0"), "unsupported ociVersion"),
        (lambda spec: spec["root"].clear(), "root.path must not be empty"),
        (lambda spec: spec["process"].update(cwd=""), "Cwd property must not be empty"),
        (lambda spec: spec["process"].update(cwd="rel"), "Cwd must be an absolute path"),
        (lambda spec: spec["process"].update(args=[]), "args must not be empty"),
        (lambda spec: spec["process"].update(env=["A=\0"]), "NUL byte"),
        (lambda spec: spec["process"].update(rlimits=[{"type": "RLIMIT_X"}]), "invalid rlimit type: RLIMIT_X"),
        (
            lambda spec: spec["process"].update(rlimits=[{"type": "RLIMIT_CPU"}] * 2),
            "duplicate rlimit type: RLIMIT_CPU",
        ),
        (lambda spec: spec["linux"]["namespaces"].append({"type": "x"}), "unknown namespace type 'x'"),
        (lambda spec: spec["linux"]["namespaces"].append({"type": "pid"}), "namespaces listed twice"),
        (lambda spec: spec["linux"]["namespaces"].append({"type": "user", "path": "x"}), "must be absolute"),
        (lambda spec: spec["linux"]["namespaces"].append({"type": "user"}), "needs uidMappings and gidMappings"),
        (lambda spec: spec["linux"].update(uidMappings=[{}]), "user namespace isn't enabled"),
        (lambda spec: spec["linux"]["namespaces"].pop(1), "unable to set hostname without a private UTS namespace"),
        (lambda spec: spec["mounts"].append({"destination": ""}), "destination must not be empty"),
        (lambda spec: spec["mounts"][0].update(uidMappings=[{}]), "need each other"),
        (lambda spec: spec["mounts"][0].update(uidMappings=[{}], gidMappings=[{}]), "only a bind mount"),
        (lambda spec: spec["linux"].update(rootfsPropagation="x"), "rootfsPropagation=x is not supported"),
        (lambda spec: spec["linux"].update(maskedPaths=["x"]), "not an absolute path"),
        (lambda spec: spec["linux"].update(devices=[{"path": "/dev/x", "type": "x"}]), "unknown type 'x'"),
        (lambda spec: spec["linux"].update(devices=[{"path": "/dev/x", "type": "c"}]), "major and minor are required"),
        (lambda spec: spec["linux"].update(personality={"domain": "BSD"}), "unsupported personality domain"),
        (lambda spec: spec["linux"].update(timeOffsets={"monotonic": {}}), "no new time namespace"),
        (lambda spec: spec["linux"].update(sysctl={"vm.swappiness": "1"}), "not in a separate kernel namespace"),
        (lambda spec: spec["linux"].update(netDevices={"eth0": {}}, namespaces=[{"type": "uts"}]), "netDevices"),
        (lambda spec: spec.update(hooks={"prestart": [{"path": "x"}]}), "is not absolute"),
        (lambda spec: spec.update(hooks={"poststop": [{"path": "/x", "timeout": 0}]}), "greater than zero"),
    ],
)
def test_what_can_not_be_carried_out_is_refused(change: Callable[[Spec], object], message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message.replace("(", r"\(")):
        check_spec(changed(change))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("net.ipv4.ip_forward", "network"), ("kernel.shmmax", "ipc"), ("fs.mqueue.msg_max", "ipc")],
)
def test_sysctls_need_the_namespace_they_belong_to(name: str, kind: str) -> None:
    check_spec(changed(lambda spec: spec["linux"].update(sysctl={name: "1"})))

    def without(spec: Spec) -> None:
        namespaces = [entry for entry in spec["linux"]["namespaces"] if entry["type"] != kind]
        spec["linux"].update(sysctl={name: "1"}, namespaces=namespaces)

    with pytest.raises(InvalidSpecError, match=r"not allowed in (host|the hosts) "):
        check_spec(changed(without))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
        ("net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
    ],
)
def test_both_separators_of_sysctls(name: str, path: str) -> None:
    assert sysctl_path(name) == path


@pytest.mark.parametrize("container_id", ["", ".", "..", "a/b", "a b", "a\n", "ä"])
def test_container_ids_that_are_no_file_names(container_id: str) -> None:
    with pytest.raises(InvalidSpecError):
        check_container_id(container_id)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_+.-]*", fullmatch=True))
def test_container_ids(container_id: str) -> None:
    check_container_id(container_id)


@pytest.mark.parametrize(
    "name", ["net.//.kernel.core_pattern", "net/../kernel/core_pattern", "net..ipv4", "net./.x", ".net.x", "net.", ""]
)
def test_sysctls_lead_nowhere_else(name: str) -> None:
    with pytest.raises(InvalidSpecError):
        sysctl_path(name)
    with pytest.raises(InvalidSpecError):
        check_spec(changed(lambda spec: spec["linux"].update(sysctl={name: "1"})))
