"""Reading JSON as Go does, and writing it as Docker does."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.containers import ContainerConfig, ContainerCreateRequest, LegacyContainerConfig, config_of
from moorage.api.endpoints import ENDPOINTS
from moorage.api.exec import ExecStartRequest
from moorage.api.host_config import HostConfig, UpdateRequest
from moorage.api.networks import NetworkCreateRequest
from moorage.api.wire import MalformedBodyError, Model, read_json
from moorage.errors import InvalidParameterError

REQUESTS: list[type[Model]] = [
    ContainerCreateRequest, HostConfig, UpdateRequest, NetworkCreateRequest, ExecStartRequest,
]  # fmt: skip


@pytest.mark.parametrize("model", REQUESTS)
def test_null_in_every_field_is_the_same_as_nothing(model: type[Model]) -> None:
    nulls = {field.encode_name: None for field in msgspec.structs.fields(model)}
    assert read_json(json.dumps(nulls).encode(), model) == model()


@pytest.mark.parametrize("model", REQUESTS)
def test_null_for_a_whole_body_is_an_empty_one(model: type[Model]) -> None:
    assert read_json(b"null", model) == model()


@pytest.mark.parametrize("model", REQUESTS)
def test_defaults_survive_a_round_trip(model: type[Model]) -> None:
    assert read_json(msgspec.json.encode(model()), model) == model()


def test_keys_match_in_any_case_and_unknown_ones_are_ignored() -> None:
    body = b'{"image":"x","ENV":["A=1"],"hostconfig":{"nanocpus":5,"Surprise":{}},"Other":1}'
    request = read_json(body, ContainerCreateRequest)
    assert (request.image, request.env) == ("x", ["A=1"])
    assert request.host_config is not None
    assert request.host_config.nano_cpus == 5


def test_command_may_be_one_string() -> None:
    assert read_json(b'{"Cmd":"/bin/true"}', ContainerConfig).cmd == ["/bin/true"]


def test_nulls_inside_maps_and_lists_become_zero_values() -> None:
    body = b'{"ExposedPorts":{"80/tcp":null},"Labels":{"a":null},"Env":[null,"A=1"]}'
    config = read_json(body, ContainerConfig)
    assert (config.exposed_ports, config.labels, config.env) == ({"80/tcp": {}}, {"a": ""}, ["", "A=1"])


def test_endpoint_without_settings_is_kept() -> None:
    request = read_json(b'{"NetworkingConfig":{"EndpointsConfig":{"n":null}}}', ContainerCreateRequest)
    assert request.networking_config is not None
    assert request.networking_config.endpoints_config == {"n": None}


def test_empty_list_is_not_null() -> None:
    body = b'{"MaskedPaths":[],"CapAdd":null}'
    assert (read_json(body, HostConfig).masked_paths, read_json(body, HostConfig).cap_add) == ([], None)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b'{"Memory":"1"}', b'{"Memory":1.5}', b'{"Binds":{}}', b"[" * 100_000]
)
def test_other_shapes_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        read_json(body, HostConfig)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([field.encode_name for field in msgspec.structs.fields(ContainerCreateRequest)])


@given(st.dictionaries(names, anything))
def test_any_json_is_read_or_refused(value: dict[str, Any]) -> None:
    with contextlib.suppress(MalformedBodyError):
        read_json(json.dumps(value).encode(), ContainerCreateRequest)


def test_host_config_has_all_its_fields() -> None:
    # 69 of the specification, and two that only old versions have.
    assert len(msgspec.structs.fields(HostConfig)) == 69 + len({"KernelMemory", "KernelMemoryTCP"})


# What Docker 20.10 shows of a container made from {"Image": "x"}; the fields it still has and 28 has not are left out.
GENUINE_CONFIG = (
    '{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,'
    '"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"",'
    '"Entrypoint":null,"OnBuild":null,"Labels":null}'
)
GENUINE_HOST_CONFIG = (
    '{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"json-file","Config":{}},"NetworkMode":"none",'
    '"PortBindings":{"80/tcp":null},"RestartPolicy":{"Name":"","MaximumRetryCount":0},"AutoRemove":false,'
    '"VolumeDriver":"","VolumesFrom":null,"CapAdd":null,"CapDrop":null,"CgroupnsMode":"host","Dns":null,'
    '"DnsOptions":null,"DnsSearch":null,"ExtraHosts":null,"GroupAdd":null,"IpcMode":"private","Cgroup":"","Links":null,'
    '"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,'
    '"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":67108864,"Runtime":"runc","ConsoleSize":[0,0],'
    '"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":null,'
    '"BlkioDeviceReadBps":null,"BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,'
    '"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"",'
    '"Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,'
    '"MemorySwappiness":null,"OomKillDisable":false,"PidsLimit":null,"Ulimits":null,"CpuCount":0,"CpuPercent":0,'
    '"IOMaximumIOps":0,"IOMaximumBandwidth":0,"Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{}}],'
    '"MaskedPaths":["/proc/asound"],"ReadonlyPaths":["/proc/bus"]}'
)


@pytest.mark.parametrize(
    ("genuine", "model"), [(GENUINE_CONFIG, LegacyContainerConfig), (GENUINE_HOST_CONFIG, HostConfig)]
)
def test_configuration_is_echoed_as_docker_does(genuine: str, model: type[Model]) -> None:
    echoed = json.loads(msgspec.json.encode(read_json(genuine.encode(), model)))
    assert echoed == json.loads(genuine)


def test_configuration_leaves_its_request_unchanged() -> None:
    request = read_json(GENUINE_CONFIG.encode(), ContainerCreateRequest)
    echoed = json.loads(msgspec.json.encode(config_of(request)))
    # Since API 1.52 it is left out where it is empty.
    assert {**echoed, "OnBuild": None} == json.loads(GENUINE_CONFIG)


def test_every_body_and_result_of_the_table_can_be_decoded() -> None:
    for endpoint in ENDPOINTS:
        for model in (endpoint.body, endpoint.result):
            if msgspec.Struct in getattr(model, "__mro__", ()):
                msgspec.json.Decoder(model)


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"Cmd":', "invalid JSON: unexpected EOF"), (b'{} {"a":1}', "unexpected content after JSON")],
)
def test_broken_documents_are_refused_in_gos_words(body: bytes, text: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"^{text}$"):
        read_json(body, ContainerConfig)
