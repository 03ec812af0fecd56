"""What the engine says about itself and its host."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from moorage.api.containers import ContainerSummary
from moorage.api.images import ImageSummary
from moorage.api.system import AuthRequest, ObjectUsage
from moorage.api.versions import Version
from moorage.api.volumes import Volume, VolumeUsage
from moorage.engine.bundles.host_facts import HostFacts
from moorage.engine.disk_usage import DiskUsageService, UnknownObjectTypeError
from moorage.engine.host import (
    Host,
    backing_file_system,
    parse_file_system,
    parse_os_release,
    parse_total_memory,
    read_host,
)
from moorage.engine.registry_login import RegistryLogin, registry_domain
from moorage.engine.system import DaemonSettings, SecurityFacts, SystemService, info_of
from moorage.registry.credentials import Credentials

HOST = Host(
    name="harbour", operating_system="Debian", os_version="12", kernel="6.1", machine="x86_64", cpus=2, memory=1024,
    seccomp=True,
)  # fmt: skip
ALL = frozenset({"memory", "swap", "oom_kill_disable", "cpu_cfs", "cpu_shares", "cpuset", "pids"})
SETTINGS = DaemonSettings(
    id="x",
    data_root=Path("/data"),
    storage_driver="overlay2",
    default_runtime="moorage",
    runtimes={},
    insecure_registries=("10.0.0.0/8", "lab:5000"),
)


@dataclasses.dataclass(frozen=True)
class Counted:
    """Some containers."""

    running: int = 3
    paused: int = 1
    stopped: int = 2


def service(
    *, features: frozenset[str] = ALL, cgroup_version: int = 1, settings: DaemonSettings = SETTINGS
) -> SystemService:
    facts = HostFacts(
        cgroup_version=cgroup_version,
        features=features,
        cpus=2,
        cpuset_cpus=frozenset({0, 1}),
        cpuset_mems=frozenset({0}),
        architecture="amd64",
    )
    return SystemService(
        settings=lambda: settings, host=HOST, facts=facts, containers=Counted, images=lambda: 7, listeners=lambda: 4
    )


async def test_counts_are_passed_on() -> None:
    info = service().info()
    assert (info.containers, info.containers_running, info.containers_paused, info.containers_stopped) == (6, 3, 1, 2)
    assert (info.images, info.n_events_listener, info.ncpu, info.mem_total) == (7, 4, 2, 1024)


async def test_missing_limits_are_warned_of() -> None:
    info = service(features=ALL - {"swap", "oom_kill_disable"}).info()
    assert not info.swap_limit
    assert info.warnings is not None
    assert "WARNING: No swap limit support" in info.warnings
    assert "WARNING: No oom kill disable support" in info.warnings


async def test_what_cgroup_v2_lacks_by_design_is_not() -> None:
    info = service(features=ALL - {"oom_kill_disable"}, cgroup_version=2).info()
    assert "WARNING: No oom kill disable support" not in (info.warnings or [])
    assert info.security_options == ["name=seccomp,profile=builtin", "name=cgroupns"]


async def test_open_port_without_tls_is_warned_of_first() -> None:
    info = service(settings=dataclasses.replace(SETTINGS, exposed=("0.0.0.0:2375",))).info()
    assert (info.warnings or [""])[0].startswith("[DEPRECATION NOTICE]: API is accessible on http://0.0.0.0:2375")


async def test_insecure_registries_are_networks_or_hosts() -> None:
    config = service().info().registry_config
    assert config.insecure_registry_cidrs == ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]
    assert not config.index_configs["lab:5000"].secure
    assert config.index_configs["docker.io"].official


async def test_older_versions_see_what_they_knew() -> None:
    info = service().info()
    old = msgspec.to_builtins(info_of(info, Version(1, 48)))
    assert old["RuncCommit"] == {"ID": ""}
    assert (old["BridgeNfIptables"], "FirewallBackend" in old) == (False, False)
    assert "FirewallBackend" in msgspec.to_builtins(info_of(info, Version(1, 49)))
    assert "BridgeNfIptables" not in msgspec.to_builtins(info_of(info, Version(1, 50)))


def test_version_names_the_api_and_the_product() -> None:
    version = service().version()
    assert (version.api_version, version.min_api_version, version.os) == ("1.56", "1.24", "linux")
    assert version.platform.name.startswith("Moorage ")
    assert version.components[0].details["KernelVersion"] == "6.1"


def test_os_release_may_be_quoted_or_broken() -> None:
    text = '# comment\nNAME=Debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nBROKEN=\'\nEMPTY=\nnonsense\n'
    assert parse_os_release(text) == {"NAME": "Debian", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "EMPTY": ""}


def test_memory_is_in_bytes() -> None:
    assert parse_total_memory("MemFree: 1 kB\nMemTotal:       2048 kB\n") == 2048 * 1024
    assert parse_total_memory("") == 0


def test_the_file_system_below_is_that_of_the_deepest_mount() -> None:
    mountinfo = (
        "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        "2 1 0:5 / /var rw - tmpfs tmpfs rw\n"
        "3 1 0:6 / /var/with\\040blank rw - xfs /dev/sdb rw\n"
    )
    for path, kind in (("/srv", "extfs"), ("/var/lib", "tmpfs"), ("/various", "extfs"), ("/var/with blank/x", "xfs")):
        assert parse_file_system(mountinfo, path) == kind
    assert parse_file_system("", "/x") == "<unknown>"
    assert backing_file_system(Path("/"))


def test_this_host_can_be_read() -> None:
    host = read_host()
    assert host.memory > 0
    assert host.cpus > 0
    assert host.kernel


def disk() -> DiskUsageService:
    async def containers() -> list[ContainerSummary]:
        return [ContainerSummary(id="c")]

    async def volumes() -> list[Volume]:
        return [Volume(name="v")]

    return DiskUsageService(
        layers_size=lambda: 9, images=lambda: [ImageSummary(id="i")], containers=containers, volumes=volumes
    )


async def test_all_kinds_are_measured_unless_some_are_named() -> None:
    usage = await disk().legacy_usage([])
    assert (len(usage.images or []), len(usage.containers or []), len(usage.volumes or [])) == (1, 1, 1)
    usage = await disk().legacy_usage(["volume"])
    assert (usage.images, usage.containers, usage.build_cache, usage.layers_size) == (None, None, None, 0)
    assert usage.volumes == [Volume(name="v")]


def used_disk() -> DiskUsageService:
    async def containers() -> list[ContainerSummary]:
        return [
            ContainerSummary(id="c", state="running", size_rw=10),
            ContainerSummary(id="d", state="exited", size_rw=5),
        ]

    async def volumes() -> list[Volume]:
        return [
            Volume(name="v", usage_data=VolumeUsage(ref_count=1, size=100)),
            Volume(name="w", usage_data=VolumeUsage(ref_count=0, size=30)),
        ]

    images = [ImageSummary(id="i", size=50, shared_size=20, containers=1), ImageSummary(id="j", size=40, containers=0)]
    return DiskUsageService(layers_size=lambda: 70, images=lambda: images, containers=containers, volumes=volumes)


async def test_each_kind_is_added_up() -> None:
    usage = await used_disk().usage([], verbose=False, legacy=False)
    assert usage.image_usage == ObjectUsage(active_count=1, total_count=2, total_size=70, reclaimable=40)
    assert usage.container_usage == ObjectUsage(active_count=1, total_count=2, total_size=15, reclaimable=5)
    assert usage.volume_usage == ObjectUsage(active_count=1, total_count=2, total_size=130, reclaimable=30)
    assert usage.build_cache_usage == ObjectUsage()
    assert (usage.images, usage.layers_size) == (None, 0)


async def test_objects_are_named_where_they_are_asked_for() -> None:
    usage = await used_disk().usage(["volume"], verbose=True, legacy=False)
    assert usage.volume_usage is not None
    assert [volume.name for volume in usage.volume_usage.items] == ["v", "w"]
    assert (usage.volumes, usage.image_usage) == (None, None)
    both = await used_disk().usage(["volume"], verbose=False, legacy=True)
    assert both.volumes is not None
    assert both.volume_usage is not None
    assert both.volume_usage.items == []


async def test_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownObjectTypeError, match="unknown object type: cat"):
        await disk().legacy_usage(["image", "cat"])


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("http://lab:5000/v2/", "lab:5000"),
        ("lab:5000", "lab:5000"),
        ("lab.example/path", "lab.example"),
    ],
)
def test_login_address_names_a_registry(address: str, domain: str) -> None:
    assert registry_domain(address) == domain


async def test_login_passes_credentials_on_and_shows_the_token() -> None:
    class Registry:
        async def login(self, domain: str, *, credentials: Credentials) -> str | None:
            assert (domain, credentials.login) == ("lab:5000", ("me", "secret"))
            return "token"

    answer = await RegistryLogin(registry=Registry()).check(
        AuthRequest(username="me", password="secret", server_address="lab:5000")
    )
    assert (answer.status, answer.identity_token) == ("Login Succeeded", "token")


def test_credentials_do_not_show_in_logs() -> None:
    assert "secret" not in repr(AuthRequest(username="me", password="secret"))


async def test_what_confines_containers_is_listed_in_dockers_order() -> None:
    facts = SecurityFacts(
        seccomp_profile="/etc/own.json", apparmor=True, selinux=True, userns=True, no_new_privileges=True
    )
    info = service(settings=dataclasses.replace(SETTINGS, security=facts), cgroup_version=2).info()
    assert info.security_options == [
        "name=apparmor", "name=seccomp,profile=/etc/own.json", "name=selinux", "name=userns", "name=cgroupns",
        "name=no-new-privileges",
    ]  # fmt: skip
    assert "WARNING: daemon is not using the default seccomp profile" in (info.warnings or ())
