"""What requests of older and newer clients mean."""

import pytest

from moorage.api.containers import ContainerCreateRequest, HealthConfig
from moorage.api.host_config import HostConfig, PortBinding, UpdateRequest
from moorage.api.mounts import BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeDriverConfig, VolumeOptions
from moorage.api.networks import EndpointSettings, NetworkingConfig
from moorage.api.versions import MAXIMUM, Version
from moorage.engine.containers.errors import RequestRefusedError
from moorage.server.handlers.requested_versions import AdaptedCreation, adapt_creation, adapt_update

MAC = "02:42:ac:11:00:09"


def adapted(
    version: Version,
    *,
    host: HostConfig | None = None,
    endpoints: dict[str, EndpointSettings | None] | None = None,
    mac: str = "",
    health: HealthConfig | None = None,
) -> AdaptedCreation:
    request = ContainerCreateRequest(
        image="i",
        mac_address=mac,
        healthcheck=health,
        host_config=host,
        networking_config=NetworkingConfig(endpoints_config=endpoints) if endpoints else None,
    )
    return adapt_creation(request, version)


def host_of(made: AdaptedCreation) -> HostConfig:
    assert made.request.host_config is not None
    return made.request.host_config


def endpoints_of(made: AdaptedCreation) -> dict[str, EndpointSettings | None]:
    assert made.request.networking_config is not None
    return made.request.networking_config.endpoints_config or {}


@pytest.mark.parametrize(
    ("version", "ipc", "cgroupns", "annotations"),
    [
        (Version(1, 39), "shareable", "host", {}),
        (Version(1, 40), "", "host", {}),
        (Version(1, 41), "", "", {}),
        (Version(1, 43), "", "", {"a": "b"}),
    ],
)
def test_defaults_are_those_of_the_version(
    version: Version, ipc: str, cgroupns: str, annotations: dict[str, str]
) -> None:
    host = host_of(adapted(version, host=HostConfig(annotations={"a": "b"})))
    assert (host.ipc_mode, host.cgroupns_mode, host.annotations) == (ipc, cgroupns, annotations)


def test_the_oldest_clients_remove_containers_themselves() -> None:
    assert not host_of(adapted(Version(1, 24), host=HostConfig(auto_remove=True))).auto_remove
    assert host_of(adapted(Version(1, 25), host=HostConfig(auto_remove=True))).auto_remove


def test_console_size_and_start_interval_came_later() -> None:
    host = HostConfig(console_size=(24, 80))
    assert host_of(adapted(Version(1, 41), host=host)).console_size == (0, 0)
    assert host_of(adapted(Version(1, 42), host=host)).console_size == (24, 80)
    health = HealthConfig(test=["CMD", "x"], start_interval=5)
    old, new = (adapted(version, health=health).request.healthcheck for version in (Version(1, 43), Version(1, 44)))
    assert old is not None
    assert new is not None
    assert (old.start_interval, new.start_interval) == (0, 5)


def test_several_networks_need_1_44() -> None:
    both: dict[str, EndpointSettings | None] = {"b": None, "a": EndpointSettings(gw_priority=3)}
    with pytest.raises(RequestRefusedError, match="multiple network endpoints: a, b"):
        adapted(Version(1, 43), endpoints=both)
    settings = endpoints_of(adapted(Version(1, 47), endpoints=both))["a"]
    assert settings is not None
    assert settings.gw_priority == 0
    assert endpoints_of(adapted(Version(1, 48), endpoints=both)) == both


def test_the_container_wide_mac_address_moves_to_the_endpoint_and_then_away() -> None:
    old = adapted(Version(1, 43), mac=MAC, host=HostConfig(network_mode="front"))
    assert endpoints_of(old)["front"] == EndpointSettings(mac_address=MAC)
    assert old.warnings == ()
    deprecated = adapted(Version(1, 44), mac=MAC)
    assert endpoints_of(deprecated)["default"] == EndpointSettings(mac_address=MAC)
    assert "container-wide MacAddress field is now deprecated" in deprecated.warnings[0]
    with pytest.raises(RequestRefusedError, match="must match the endpoint-specific MAC address"):
        adapted(Version(1, 51), mac=MAC, endpoints={"n": EndpointSettings(mac_address="02:00:00:00:00:01")})
    with pytest.raises(RequestRefusedError, match="container-wide MAC address no longer supported"):
        adapted(Version(1, 52), mac=MAC)
    with pytest.raises(RequestRefusedError, match="conflicting options: mac-address and the network mode"):
        adapted(Version(1, 43), mac=MAC, host=HostConfig(network_mode="host"))


def test_an_endpoints_own_mac_address_came_with_1_44() -> None:
    asked: dict[str, EndpointSettings | None] = {"n": EndpointSettings(mac_address=MAC)}
    assert endpoints_of(adapted(Version(1, 43), endpoints=asked))["n"] == EndpointSettings()
    assert endpoints_of(adapted(Version(1, 44), endpoints=asked)) == asked


@pytest.mark.parametrize(
    ("mount", "version", "text"),
    [
        (Mount(type="bind", volume_options=VolumeOptions()), Version(1, 42), "VolumeOptions must not be specified"),
        (Mount(type="tmpfs", bind_options=BindOptions()), MAXIMUM, 'BindOptions .* on mount type "tmpfs"'),
        (Mount(type="volume", tmpfs_options=TmpfsOptions()), MAXIMUM, "TmpfsOptions must not"),
        (
            Mount(type="bind", bind_options=BindOptions(read_only_force_recursive=True)),
            Version(1, 43),
            r"ReadOnlyForceRecursive needs API v1\.44",
        ),
        (Mount(type="volume", volume_options=VolumeOptions(subpath="s")), Version(1, 44), r"needs API v1\.45"),
        (Mount(type="image", image_options=ImageOptions()), Version(1, 47), r"needs API v1\.48"),
    ],
)
def test_mounts_that_a_version_does_not_have_are_refused(mount: Mount, version: Version, text: str) -> None:
    with pytest.raises(RequestRefusedError, match=text):
        adapted(version, host=HostConfig(mounts=[mount]))


def test_old_clients_mounts_are_passed_over_and_not_recursive() -> None:
    mount = Mount(
        type="bind", read_only=True, volume_options=VolumeOptions(), bind_options=BindOptions(create_mountpoint=True)
    )
    (old,) = host_of(adapted(Version(1, 41), host=HostConfig(mounts=[mount]))).mounts
    assert old.volume_options is None
    assert old.bind_options == BindOptions(read_only_non_recursive=True)


def test_old_clients_read_only_binds_are_not_recursive_either() -> None:
    host = HostConfig(binds=["/srv:/s:ro"])
    assert not adapted(Version(1, 43), host=host).recursive_read_only
    assert adapted(Version(1, 44), host=host).recursive_read_only


def test_ports_without_bindings_are_published_anywhere() -> None:
    host = HostConfig(port_bindings={"80/tcp": [], "81/tcp": None, "82/tcp": [PortBinding(host_port="8")]})
    old, new = adapted(Version(1, 51), host=host), adapted(Version(1, 52), host=host)
    assert host_of(old).port_bindings == host_of(new).port_bindings
    assert host_of(new).port_bindings == {
        "80/tcp": [PortBinding()],
        "81/tcp": [PortBinding()],
        "82/tcp": [PortBinding(host_port="8")],
    }
    assert old.warnings == ()
    assert "empty list of port-bindings: 80/tcp, 81/tcp" in new.warnings[0]


def test_a_driver_that_mounts_do_not_take_is_warned_of() -> None:
    own = VolumeOptions(driver_config=VolumeDriverConfig(name="local"))
    for mount, warned in ((Mount(type="volume"), True), (Mount(type="volume", volume_options=own), False)):
        host = HostConfig(volume_driver="local", mounts=[mount])
        assert bool(adapted(Version(1, 48), host=host).warnings) is warned
        assert adapted(Version(1, 47), host=host).warnings == ()


def test_pids_limits_are_updated_since_1_40() -> None:
    assert adapt_update(UpdateRequest(pids_limit=5), Version(1, 39)).pids_limit is None
    assert adapt_update(UpdateRequest(pids_limit=5), Version(1, 40)).pids_limit == 5
