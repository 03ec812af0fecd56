"""The models against the specification's field names (version 1.56): none is missing."""

import csv
from pathlib import Path

import msgspec
import pytest

from moorage.api import container_state as state
from moorage.api import containers, descriptors, events, host_config, images, mounts, networks, stats, system
from moorage.api import exec as exec_models
from moorage.api import volumes as volume_models

with (Path(__file__).parent / "fields.tsv").open(newline="") as file:
    FIELDS = {row["definition"]: frozenset(row["fields"].split(",")) for row in csv.DictReader(file, delimiter="\t")}

MODELS: dict[str, type[msgspec.Struct]] = {
    "ContainerConfig": containers.ContainerConfig,
    "HealthConfig": containers.HealthConfig,
    "HostConfig": host_config.HostConfig,
    "Resources": host_config.Resources,
    "RestartPolicy": host_config.RestartPolicy,
    "DeviceMapping": host_config.DeviceMapping,
    "DeviceRequest": host_config.DeviceRequest,
    "ThrottleDevice": host_config.ThrottleDevice,
    "Mount": mounts.Mount,
    "MountPoint": mounts.MountPoint,
    "PortBinding": host_config.PortBinding,
    "NetworkingConfig": networks.NetworkingConfig,
    "EndpointSettings": networks.EndpointSettings,
    "EndpointIPAMConfig": networks.EndpointIPAMConfig,
    "ContainerInspectResponse": state.ContainerInspectResponse,
    "ContainerState": state.ContainerState,
    "Health": state.Health,
    "HealthcheckResult": state.HealthcheckResult,
    "NetworkSettings": state.NetworkSettings,
    "ContainerSummary": containers.ContainerSummary,
    "PortSummary": containers.PortSummary,
    "ContainerCreateResponse": containers.ContainerCreateResponse,
    "ContainerUpdateResponse": host_config.UpdateResponse,
    "ContainerWaitResponse": containers.ContainerWaitResponse,
    "ContainerWaitExitError": containers.WaitExitError,
    "ContainerTopResponse": containers.ContainerTopResponse,
    "FilesystemChange": containers.FilesystemChange,
    "ContainerStatsResponse": stats.ContainerStats,
    "ContainerCPUStats": stats.CPUStats,
    "ContainerCPUUsage": stats.CPUUsage,
    "ContainerMemoryStats": stats.MemoryStats,
    "ContainerNetworkStats": stats.NetworkStats,
    "ContainerPidsStats": stats.PidsStats,
    "ContainerBlkioStats": stats.BlkioStats,
    "ContainerBlkioStatEntry": stats.BlkioEntry,
    "ContainerThrottlingData": stats.ThrottlingData,
    "ContainerStorageStats": stats.StorageStats,
    "ProcessConfig": exec_models.ExecProcessConfig,
    "SystemInfo": system.SystemInfo,
    "PluginsInfo": system.PluginsInfo,
    "RegistryServiceConfig": system.RegistryServiceConfig,
    "IndexInfo": system.IndexInfo,
    "Runtime": system.RuntimeInfo,
    "Commit": system.Commit,
    "SwarmInfo": system.SwarmInfo,
    "FirewallInfo": system.FirewallInfo,
    "DeviceInfo": system.DeviceInfo,
    "NRIInfo": system.NRIInfo,
    "ContainerdInfo": system.ContainerdInfo,
    "SystemVersion": system.SystemVersion,
    "AuthConfig": system.AuthRequest,
    "AuthResponse": system.AuthResponse,
    "EventMessage": events.EventMessage,
    "EventActor": events.EventActor,
    "ErrorResponse": system.ErrorResponse,
    "ContainersDiskUsage": system.ObjectUsage,
    "ImageInspect": images.ImageInspect,
    "ImageConfig": images.ImageConfig,
    "ImageSummary": images.ImageSummary,
    "ImageManifestSummary": images.ImageManifestSummary,
    "OCIDescriptor": descriptors.OCIDescriptor,
    "OCIPlatform": descriptors.OCIPlatform,
    "DriverData": state.DriverData,
    "Volume": volume_models.Volume,
    "VolumeCreateRequest": volume_models.VolumeCreateRequest,
    "VolumeListResponse": volume_models.VolumeListResponse,
    "NetworkInspect": networks.Network,
    "NetworkConnectRequest": networks.NetworkConnectRequest,
    "NetworkDisconnectRequest": networks.NetworkDisconnectRequest,
    "NetworkCreateResponse": networks.NetworkCreateResponse,
    "IPAM": networks.IPAM,
    "IPAMConfig": networks.IPAMConfig,
    "EndpointResource": networks.EndpointResource,
    "PeerInfo": networks.PeerInfo,
    "ConfigReference": networks.ConfigReference,
    "NetworkStatus": networks.NetworkStatus,
    "IPAMStatus": networks.IPAMStatus,
    "SubnetStatus": networks.SubnetStatus,
    "IDResponse": exec_models.IDResponse,
    "ContainerCreate body": containers.ContainerCreateRequest,
    "ContainerUpdate body": host_config.UpdateRequest,
    "ContainerExec body": exec_models.ExecCreateRequest,
    "ExecStart body": exec_models.ExecStartRequest,
    "NetworkCreate body": networks.NetworkCreateRequest,
    "ExecInspect answer": exec_models.ExecInspectResponse,
    "SystemDataUsage answer": system.DiskUsage,
}

#: Fields that an engine on Linux never has, and one that the specification counts twice.
NOT_HERE = {
    "ContainerMemoryStats": {"commitbytes", "commitpeakbytes", "privateworkingset"},
    "ContainerNetworkStats": {"endpoint_id", "instance_id"},
    # It is HostConfig's; an update does not take it.
    "Resources": {"Init"},
    "ContainerUpdate body": {"Init"},
}


def test_every_definition_of_the_table_has_a_model() -> None:
    assert MODELS.keys() == FIELDS.keys()


@pytest.mark.parametrize("definition", FIELDS)
def test_every_field_is_in_the_model(definition: str) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(MODELS[definition])}
    assert FIELDS[definition] - known == NOT_HERE.get(definition, set())
