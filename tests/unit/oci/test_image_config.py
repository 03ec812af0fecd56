"""Image configs as registries and engines write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.oci.digest import DiffID
from moorage.oci.image_config import (
    ContainerDefaults,
    ImageConfig,
    InvalidImageConfigError,
    RootFS,
    decode_image_config,
    encode_image_config,
)

DIFF_ID = DiffID("sha256:" + "cd" * 32)


def decode(**fields: object) -> ImageConfig:
    return decode_image_config(json.dumps(fields).encode())


def test_dockers_own_fields_are_read() -> None:
    config = decode(
        architecture="amd64",
        os="linux",
        config={
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5},
            "OnBuild": ["RUN x"],
            "Shell": ["/bin/sh"],
            "StopSignal": "SIGQUIT",
            "ArgsEscaped": True,
        },
        rootfs={"type": "layers", "diff_ids": [DIFF_ID]},
        history=[{"created_by": "x", "empty_layer": True}],
    )
    assert config.config.healthcheck is not None
    assert config.config.healthcheck.interval == 5
    assert config.config.on_build == ("RUN x",)
    assert config.config.args_escaped


def test_null_counts_as_absent() -> None:
    config = decode(
        created=None, architecture="amd64", os="linux", config={"User": None, "Env": None, "Labels": None}, history=None
    )
    assert config.config == ContainerDefaults()
    assert config.history == ()


def test_config_without_the_config_object_has_defaults() -> None:
    assert decode(os="linux", config=None).config == ContainerDefaults()


def test_command_may_be_one_string() -> None:
    assert decode(config={"Cmd": "echo hi", "Entrypoint": ["/x"]}).config.cmd == ("echo hi",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"os": 5}',
        b'{"rootfs": {"type": "base"}}',
        b'{"rootfs": {"type": "layers", "diff_ids": ["sha256:short"]}}',
        b'{"config": {"Env": "A=b"}}',
        b'{"os": "' + b"\xff" + b'"}',
    ],
)
def test_what_is_no_image_config_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidImageConfigError):
        decode_image_config(raw)


@given(st.binary(max_size=200))
def test_garbage_is_refused_as_such(raw: bytes) -> None:
    try:
        decode_image_config(raw)
    except InvalidImageConfigError:
        return


def test_encoded_config_is_read_back_the_same() -> None:
    config = ImageConfig(
        architecture="arm64",
        os="linux",
        config=ContainerDefaults(cmd=("sh",), labels={"a": "b"}, exposed_ports={"80/tcp": {}}),
        rootfs=RootFS(diff_ids=(DIFF_ID,)),
    )
    assert decode_image_config(encode_image_config(config)) == config


def test_encoded_config_spells_out_its_layers_even_without_any() -> None:
    document = json.loads(encode_image_config(ImageConfig()))
    assert document["rootfs"] == {"type": "layers", "diff_ids": []}
