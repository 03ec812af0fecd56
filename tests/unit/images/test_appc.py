"""App Container Images, told apart and read."""

import io
import json
import tarfile
from typing import Any

import pytest

from moorage.images.appc import InvalidAppcImageError, decode_appc_manifest, may_be_appc


def manifest(**fields: Any) -> bytes:
    return json.dumps({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app", **fields}).encode()


def head(*names: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(member)
    return raw.getvalue()[:-512]


@pytest.mark.parametrize("names", [["manifest"], ["./", "./rootfs/"], ["rootfs/a"], ["/manifest"]])
def test_the_first_member_tells(names: list[str]) -> None:
    assert may_be_appc(head(*names))


@pytest.mark.parametrize("raw", [head("manifest.json"), head("etc/", "rootfs/"), b"x" * 2000, b"", b"\x1f\x8b\x08"])
def test_anything_else_is_not_looked_into(raw: bytes) -> None:
    assert not may_be_appc(raw)


def test_names_and_platforms_are_translated() -> None:
    labels = [{"name": "version", "value": "1.0+b"}, {"name": "arch", "value": "aarch64"}]
    image = decode_appc_manifest(manifest(labels=labels))
    assert image is not None
    assert image.name is not None
    assert (image.name.familiar, str(image.platform)) == ("example.com/app:1.0_b", "linux/arm64")


def test_root_is_no_user_of_its_own_and_ports_may_be_many() -> None:
    ports = [{"name": "p", "port": 80, "protocol": "udp", "count": 2}]
    image = decode_appc_manifest(manifest(app={"exec": ["/a"], "user": "0", "group": "0", "ports": ports}))
    assert image is not None
    assert image.defaults.user == ""
    assert image.defaults.exposed_ports == {"80/udp": {}, "81/udp": {}}


@pytest.mark.parametrize("raw", [b"{}", b"no JSON", manifest(acKind="PodManifest")])
def test_other_manifests_are_none(raw: bytes) -> None:
    assert decode_appc_manifest(raw) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dependencies": [{"imageName": "a"}]}, "depends"),
        ({"pathWhitelist": ["/a"]}, "pathWhitelist"),
        ({"labels": [{"name": "os", "value": "freebsd"}]}, "freebsd"),
        ({"app": {"ports": [{"name": "p", "port": 65535, "count": 2}]}}, "port"),
        ({"app": 5}, "object"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidAppcImageError, match=reason):
        decode_appc_manifest(manifest(**fields))
