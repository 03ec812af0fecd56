"""Which mounts a request makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig
from moorage.api.mounts import BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions
from moorage.engine.bundles.bind_syntax import InvalidMountError, parse_bind, parse_volumes_from
from moorage.engine.bundles.mounts import (
    MountKind,
    PlannedMount,
    plan_mount,
    plan_mounts,
    spec_mounts,
    with_volumes_from_mode,
)


def plan(**host_config: object) -> tuple[PlannedMount, ...]:
    return plan_mounts(ContainerConfig(), HostConfig(**host_config))  # type: ignore[arg-type]


def test_a_host_path_is_a_private_bind_that_may_be_created() -> None:
    (mount,) = plan(binds=["/srv//data/:/data:ro"])
    assert (mount.kind, mount.source, mount.destination) == (MountKind.BIND, "/srv/data", "/data")
    assert (mount.writable, mount.propagation, mount.create_source) == (False, "rprivate", True)


@pytest.mark.parametrize(
    ("source", "propagation"),
    [("/", "rslave"), ("/var", "rslave"), ("/var/lib/moorage/volumes", "rslave"), ("/srv", "rprivate")],
)
def test_what_has_to_do_with_the_data_root_shows_what_the_host_mounts_later(source: str, propagation: str) -> None:
    asked = HostConfig(
        binds=[f"{source}:/short", f"{source}:/told:rshared"],
        mounts=[Mount(type="bind", source=source, target="/long")],
    )
    mounts = plan_mounts(ContainerConfig(), asked, data_root="/var/lib/moorage")
    assert [mount.propagation for mount in mounts] == [propagation, "rshared", propagation]


def test_a_name_is_a_volume_with_copy_up() -> None:
    (mount,) = plan(binds=["data:/data"])
    assert (mount.kind, mount.name, mount.copy_up, mount.anonymous) == (MountKind.VOLUME, "data", True, False)
    (mount,) = plan(binds=["data:/data:nocopy"])
    assert not mount.copy_up


def test_volumes_of_the_image_are_anonymous_unless_mounted_over() -> None:
    config = ContainerConfig(volumes={"/data": {}, "/cache": {}})
    mounts = plan_mounts(config, HostConfig(binds=["named:/data"]))
    assert [(mount.destination, mount.anonymous) for mount in mounts] == [("/data", False), ("/cache", True)]


def test_own_mounts_hide_inherited_ones() -> None:
    inherited = PlannedMount(kind=MountKind.VOLUME, name="old", destination="/data")
    (mount,) = plan_mounts(ContainerConfig(), HostConfig(binds=["new:/data"]), inherited=[inherited])
    assert mount.name == "new"


def test_shallow_destinations_come_first() -> None:
    mounts = plan(binds=["one:/a/b", "two:/a"], tmpfs={"/a/b/c": ""})
    assert [mount.destination for mount in mounts] == ["/a", "/a/b", "/a/b/c"]


def test_a_destination_can_be_mounted_once() -> None:
    with pytest.raises(InvalidMountError, match="Duplicate mount point: /x"):
        plan(binds=["one:/x", "two:/x/"])


def test_tmpfs_is_not_executable_unless_asked() -> None:
    (mount,) = plan(tmpfs={"/t": "size=1m,exec"})
    assert spec_mounts([mount]) == [
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=1m", "exec"]}
    ]


def test_a_read_only_bind_is_so_all_the_way_down() -> None:
    mount = plan_mount(Mount(type="bind", source="/srv", target="/s", read_only=True))
    assert spec_mounts([mount])[0]["options"] == ["rbind", "ro", "rro", "rprivate"]
    options = BindOptions(read_only_non_recursive=True, propagation="rslave")
    mount = plan_mount(Mount(type="bind", source="/srv", target="/s", read_only=True, bind_options=options))
    assert spec_mounts([mount])[0]["options"] == ["rbind", "ro", "rslave"]


def test_short_syntax_is_read_only_all_the_way_down_unless_the_client_is_old() -> None:
    host = HostConfig(binds=["/srv:/s:ro", "data:/d:ro"])
    new = spec_mounts(plan_mounts(ContainerConfig(), host))
    old = spec_mounts(plan_mounts(ContainerConfig(), host, recursive_read_only=False))
    assert ["rro" in mount["options"] for mount in new] == [True, True]
    # Volumes have nothing below them.
    assert ["rro" in mount["options"] for mount in old] == [False, True]


@pytest.mark.parametrize("source", ["/", "/var/lib", "/var/lib/engine", "/var/lib/engine/volumes"])
def test_a_bind_around_the_data_root_must_follow_the_host(source: str) -> None:
    def plan_both(propagation: str) -> list[str]:
        short = HostConfig(binds=[f"{source}:/x:{propagation}".removesuffix(":")])
        long = HostConfig(
            mounts=[Mount(type="bind", source=source, target="/x", bind_options=BindOptions(propagation=propagation))]
        )
        return [
            plan_mounts(ContainerConfig(), host, data_root="/var/lib/engine")[0].propagation for host in (short, long)
        ]

    assert plan_both("") == plan_both("rslave") == ["rslave", "rslave"]
    assert plan_both("rshared") == ["rshared", "rshared"]
    for word in ("private", "rprivate", "shared", "slave"):
        with pytest.raises(InvalidMountError, match='must use either propagation mode "rslave" or "rshared"'):
            plan_both(word)


def test_tmpfs_mounts_carry_size_and_mode() -> None:
    options = TmpfsOptions(size_bytes=4096, mode=0o700, options=[["uid", "5"]])
    mount = plan_mount(Mount(type="tmpfs", target="/t", tmpfs_options=options))
    assert mount.options == ("noexec", "nosuid", "nodev", "uid=5", "size=4096", "mode=700")


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (Mount(type="bind", target="/x"), 'invalid mount config for type "bind": field Source must not be empty'),
        (Mount(type="bind", source="rel", target="/x"), "mount path must be absolute"),
        (Mount(type="volume", source="v"), "field Target must not be empty"),
        (Mount(type="volume", target="/x", bind_options=BindOptions()), "field BindOptions must not be specified"),
        (Mount(type="tmpfs", source="s", target="/x"), "field Source must not be specified"),
        (Mount(type="volume", source="/abs", target="/x"), "includes invalid characters for a local volume name"),
        (
            Mount(type="volume", source="vol", target="/x", volume_options=VolumeOptions(subpath="../up")),
            "must be a relative path within the volume",
        ),
        (Mount(type="npipe", source="i", target="/x"), "mount type npipe is not supported"),
        (Mount(type="image", target="/x"), "field Source must not be empty"),
        (Mount(type="image", source="i", target="/x", image_options=ImageOptions(subpath="a/../b")), "relative path"),
        (Mount(type="volume", source="i", target="/x", image_options=ImageOptions()), "ImageOptions must not be"),
        (Mount(type="", target="/x"), "mount type unknown"),
    ],
)
def test_plan_mount_refuses(mount: Mount, message: str) -> None:
    with pytest.raises(InvalidMountError, match=message):
        plan_mount(mount)


BIND = 'invalid mount config for type "bind": '
VOLUME = 'invalid mount config for type "volume": '


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        (":", ""),
        ("a:", ""),
        (":/x", ""),
        ("/x:ro", ""),
        ("a:/b:c:d", ""),
        ("aa:b", f": {VOLUME}invalid mount path: 'b' mount path must be absolute"),
        ("/aa:b", f": {BIND}invalid mount path: 'b' mount path must be absolute"),
        ("/a:/", f": {BIND}invalid specification: destination can't be '/'"),
        ("/a:/b:nocopy", f": {BIND}field VolumeOptions must not be specified"),
        ("vol:/x:rslave", f": {VOLUME}field BindOptions must not be specified"),
    ],
)
def test_parse_bind_says_what_is_wrong_as_docker_does(text: str, reason: str) -> None:
    with pytest.raises(InvalidMountError) as caught:
        parse_bind(text)
    assert str(caught.value) == f"invalid volume specification: '{text}'{reason}"


@pytest.mark.parametrize("mode", ["wrong", "ro,rw", "z,Z", "default", "ro,ro"])
def test_parse_bind_refuses_modes(mode: str) -> None:
    with pytest.raises(InvalidMountError, match=f"^invalid mode: {mode}$"):
        parse_bind(f"/a:/b:{mode}")


def test_a_wrong_volume_name_is_no_wrong_mount() -> None:
    with pytest.raises(InvalidMountError, match=r"^create \.bad:"):
        plan_mount(Mount(type="volume", source=".bad", target="/x"))


@given(st.text(max_size=40))
def test_parse_bind_returns_or_raises_its_own_error(text: str) -> None:
    try:
        parsed = parse_bind(text)
    except InvalidMountError:
        return
    assert parsed.destination.startswith("/")
    assert ".." not in parsed.destination.split("/")


def test_an_image_s_volume_may_lack_its_first_slash() -> None:
    (planned,) = plan_mounts(ContainerConfig(volumes={"data": {}}), HostConfig())
    assert (planned.destination, planned.anonymous) == ("/data", True)


def test_inherited_mounts_show_no_mode() -> None:
    donated = PlannedMount(kind=MountKind.VOLUME, name="v", destination="/v", mode="z")
    assert with_volumes_from_mode(donated, "").mode == ""
    inherited = with_volumes_from_mode(donated, "ro")
    assert (inherited.mode, inherited.writable, inherited.copy_up) == ("", False, False)


def test_volumes_from() -> None:
    assert parse_volumes_from("web:ro") == ("web", "ro")
    for mode in ("sideways", "nocopy", "rshared"):
        with pytest.raises(InvalidMountError, match=f"^invalid mode: {mode}$"):
            parse_volumes_from(f"web:{mode}")
