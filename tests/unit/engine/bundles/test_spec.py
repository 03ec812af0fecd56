"""From a request to `config.json`."""

import dataclasses
from typing import Any, cast

import msgspec
import pytest

from moorage.api.containers import ContainerConfig, HealthConfig
from moorage.api.host_config import HostConfig
from moorage.engine.bundles.merging import NoCommandError, merge_environment, merge_image_config
from moorage.engine.bundles.security import SecurityOptionError, module_warnings
from moorage.engine.bundles.spec import BundleInputs, RuntimeSpec, build_spec, environment
from moorage.engine.bundles.users import ResolvedUser
from moorage.engine.selinux.context import Labels
from moorage.engine.userns.mapping import IdMapping, sequence
from moorage.oci.image_config import ContainerDefaults, Healthcheck

ROOT = ResolvedUser(uid=0, gid=0, additional_gids=(29,), home="/root")
INPUTS = BundleInputs(
    container_id="c" * 64,
    hostname="cccccccccccc",
    config=ContainerConfig(cmd=["true"]),
    host_config=HostConfig(network_mode="bridge", ipc_mode="private", cgroupns_mode="host", shm_size=1024),
    user=ROOT,
    architecture="amd64",
    cgroups_path="/moorage/x",
    files={"/etc/hosts": "/run/hosts"},
)


def spec(inputs: BundleInputs = INPUTS, **host_config: object) -> RuntimeSpec:
    changed = msgspec.structs.replace(inputs.host_config, **host_config)
    return build_spec(dataclasses.replace(inputs, host_config=changed))


def mount_at(config: RuntimeSpec, destination: str) -> dict[str, object] | None:
    return next((mount for mount in config["mounts"] if mount["destination"] == destination), None)


def test_the_default_container_is_confined() -> None:
    config = spec()
    assert "CAP_SYS_ADMIN" not in config["process"]["capabilities"]["bounding"]
    assert config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {"type": "network"} in config["linux"]["namespaces"]
    assert {"type": "cgroup"} not in config["linux"]["namespaces"]
    assert config["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert config["process"]["user"] == {"uid": 0, "gid": 0, "additionalGids": [0, 29]}


def test_privileged_lifts_every_confinement() -> None:
    config = spec(privileged=True)
    assert "CAP_SYS_ADMIN" in config["process"]["capabilities"]["bounding"]
    assert "seccomp" not in config["linux"]
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "rw" in mount_at(config, "/sys")["options"]  # type: ignore[operator, index]


def test_another_user_holds_no_capability_of_its_own() -> None:
    user = ResolvedUser(uid=7, gid=7, additional_gids=(), home="/")
    capabilities = spec(dataclasses.replace(INPUTS, user=user))["process"]["capabilities"]
    assert (capabilities["effective"], capabilities["permitted"]) == ([], [])
    assert capabilities["bounding"]


def test_environment_is_the_defaults_then_the_users_then_home() -> None:
    config = ContainerConfig(cmd=["env"], env=["PATH=/bin", "A=1"], tty=True)
    process = spec(dataclasses.replace(INPUTS, config=config))["process"]
    assert process["env"] == ["PATH=/bin", "HOSTNAME=cccccccccccc", "TERM=xterm", "A=1", "HOME=/root"]


def test_namespaces_are_joined_by_path() -> None:
    inputs = dataclasses.replace(INPUTS, joined={"network": "/proc/1/ns/net"})
    namespaces = spec(inputs, network_mode="container:x")["linux"]["namespaces"]
    assert {"type": "network", "path": "/proc/1/ns/net"} in namespaces


def test_host_modes_leave_namespaces_out() -> None:
    config = spec(network_mode="host", pid_mode="host", ipc_mode="host", uts_mode="host")
    assert [namespace["type"] for namespace in config["linux"]["namespaces"]] == ["mount"]
    assert "sysctl" not in config["linux"]
    assert mount_at(config, "/dev/shm")["source"] == "/dev/shm"  # type: ignore[index]


def test_ipc_none_has_no_shared_memory() -> None:
    assert mount_at(spec(ipc_mode="none"), "/dev/shm") is None


def test_a_users_mount_replaces_the_default_and_its_files() -> None:
    own = {"destination": "/etc/hosts", "type": "bind", "source": "/mine", "options": ["rbind"]}
    config = spec(dataclasses.replace(INPUTS, mounts=[own]))
    assert mount_at(config, "/etc/hosts") == own
    own = {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}
    config = spec(dataclasses.replace(INPUTS, mounts=[own]))
    assert mount_at(config, "/dev/pts") is None


def test_init_wraps_the_command() -> None:
    config = spec(dataclasses.replace(INPUTS, init="/usr/bin/tini-static"))
    assert config["process"]["args"] == ["/sbin/docker-init", "--", "true"]
    assert mount_at(config, "/sbin/docker-init")["source"] == "/usr/bin/tini-static"  # type: ignore[index]


def test_limits_reach_the_resources() -> None:
    resources = spec(memory=1 << 26, memory_swap=1 << 27, nano_cpus=500_000_000, pids_limit=-1)["linux"]["resources"]
    assert resources["memory"] == {"limit": 1 << 26, "swap": 1 << 27}
    assert resources["cpu"] == {"quota": 50_000, "period": 100_000}
    assert resources["pids"] == {"limit": -1}
    assert spec(pids_limit=0)["linux"]["resources"]["pids"] == {"limit": -1}


def test_apparmor_confines_where_the_host_has_it() -> None:
    assert "apparmorProfile" not in spec(security_opt=["apparmor=mine"])["process"]
    inputs = dataclasses.replace(INPUTS, apparmor=True)
    assert spec(inputs)["process"]["apparmorProfile"] == "docker-default"
    assert spec(inputs, privileged=True)["process"]["apparmorProfile"] == "unconfined"
    assert spec(inputs, privileged=True, security_opt=["apparmor=mine"])["process"]["apparmorProfile"] == "mine"


def test_labels_go_to_the_process_and_its_mounts() -> None:
    assert "selinuxLabel" not in spec()["process"]
    config = spec(dataclasses.replace(INPUTS, labels=Labels(process="a:b:c:s0", mount="a:b:d:s0")))
    assert (config["process"]["selinuxLabel"], config["linux"]["mountLabel"]) == ("a:b:c:s0", "a:b:d:s0")


def test_what_this_host_cannot_follow_is_warned_about() -> None:
    asked = HostConfig(security_opt=["apparmor=mine", "label=type:x", "label=disable"])
    apparmor, selinux = module_warnings(asked, apparmor=False, selinux=False)
    assert apparmor == "AppArmor is not enabled on this host. Profile mine discarded."
    assert selinux == "SELinux is not enabled on this host or in the daemon. Labels discarded."
    assert module_warnings(asked, apparmor=True, selinux=True) == []
    off = HostConfig(security_opt=["apparmor=unconfined", "label=disable"])
    assert module_warnings(off, apparmor=False, selinux=False) == []


def test_seccomp_can_be_unconfined_or_ones_own() -> None:
    assert "seccomp" not in spec(security_opt=["seccomp=unconfined"])["linux"]
    own = '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO"}]}'
    assert spec(security_opt=[f"seccomp={own}"])["linux"]["seccomp"]["syscalls"] == [
        {"names": ["chmod"], "action": "SCMP_ACT_ERRNO"}
    ]


def test_the_image_fills_what_the_request_leaves_out() -> None:
    image = ContainerDefaults(
        env=("PATH=/bin", "A=image"),
        entrypoint=("/entry",),
        cmd=("default",),
        labels={"from": "image", "both": "image"},
        volumes={"/data": {}},
        healthcheck=Healthcheck(test=("CMD", "check"), retries=5),
    )
    request = ContainerConfig(env=["A=mine"], labels={"both": "mine"}, healthcheck=HealthConfig(interval=10**9))
    merged = merge_image_config(request, image)
    assert merged.env == ["A=mine", "PATH=/bin"]
    assert (merged.entrypoint, merged.cmd) == (["/entry"], ["default"])
    assert merged.labels == {"from": "image", "both": "mine"}
    assert merged.healthcheck == HealthConfig(test=["CMD", "check"], retries=5, interval=10**9)
    assert list(merged.volumes or ()) == ["/data"]


def test_an_own_entry_point_drops_the_images_command() -> None:
    image = ContainerDefaults(entrypoint=("/entry",), cmd=("default",))
    merged = merge_image_config(ContainerConfig(entrypoint=["sh"]), image)
    assert (merged.entrypoint, merged.cmd) == (["sh"], None)
    merged = merge_image_config(ContainerConfig(entrypoint=[""], cmd=["ls"]), image)
    assert (merged.entrypoint, merged.cmd) == (None, ["ls"])
    merged = merge_image_config(ContainerConfig(entrypoint=[], cmd=[]), image)
    assert (merged.entrypoint, merged.cmd) == ([], ["default"])


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(NoCommandError, match="no command specified"):
        merge_image_config(ContainerConfig(), None)


def test_a_name_without_a_value_takes_the_variable_away() -> None:
    assert merge_environment(["A=1", "B=2"], ["A"]) == ["B=2"]


def test_a_name_without_a_value_is_shown_and_hides_the_images_variable() -> None:
    merged = merge_image_config(
        ContainerConfig(cmd=["a"], env=["FOO", "B=", "A=new"]), ContainerDefaults(env=("A=1", "FOO=2", "PATH=/bin"))
    )
    assert merged.env == ["FOO", "B=", "A=new", "PATH=/bin"]
    assert "FOO" not in {word.partition("=")[0] for word in environment(merged, hostname="h", home="/", tty=False)}


def test_a_mapping_makes_a_user_namespace_and_leaves_out_what_it_cannot_name() -> None:
    mapping = IdMapping(uids=sequence([(100000, 10)]), gids=sequence([(200000, 10)]))
    linux = spec(dataclasses.replace(INPUTS, id_mapping=mapping))["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 100000, "size": 10}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 200000, "size": 10}]
    assert linux["sysctl"] == {"net.ipv4.ip_unprivileged_port_start": "0"}
    assert {"type": "user"} not in spec()["linux"]["namespaces"]


def test_the_daemons_profile_is_for_those_who_ask_for_none() -> None:
    own = '{"defaultAction":"SCMP_ACT_LOG"}'
    inputs = dataclasses.replace(INPUTS, seccomp_default=own)
    assert spec(inputs)["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_LOG"
    assert spec(inputs, security_opt=["seccomp=builtin"])["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "seccomp" not in spec(inputs, privileged=True)["linux"]
    assert spec(inputs, privileged=True, security_opt=[f"seccomp={own}"])["linux"]["seccomp"]


@pytest.mark.parametrize(
    ("options", "access"),
    [
        ({}, "ro"),
        ({"privileged": True}, "rw"),
        ({"security_opt": ["writable-cgroups"]}, "rw"),
        ({"security_opt": ["writable-cgroups=true"]}, "rw"),
        ({"security_opt": ["writable-cgroups=false"], "privileged": True}, "ro"),
    ],
)
def test_control_groups_are_writable_for_who_may(options: dict[str, Any], access: str) -> None:
    mount = mount_at(spec(**options), "/sys/fs/cgroup")
    assert mount is not None
    assert access in cast("list[str]", mount["options"])


def test_writable_control_groups_are_no_choice_in_a_user_namespace() -> None:
    mapping = IdMapping(uids=sequence([(100000, 10)]), gids=sequence([(200000, 10)]))
    inputs = dataclasses.replace(INPUTS, id_mapping=mapping)
    with pytest.raises(SecurityOptionError, match="option WritableCgroups conflicts with user namespaces"):
        spec(inputs, security_opt=["writable-cgroups=true"])
