"""The table's rows of clusters and managed plugins; their models are loose until they are built.

Spec: Engine API, "paths". The rows are in the order of the specification.
"""

from types import NoneType
from typing import Any, Final

from moorage.api.endpoint import Endpoint, NoBody, StreamBody
from moorage.api.progress import ProgressMessage
from moorage.api.query import NoQuery, Query
from moorage.api.streams import ByteStream, JSONLines
from moorage.api.versions import Version
from moorage.api.wire import JSON

#: Any JSON object, until its operation is built.
LooseBody = dict[str, JSON]
LooseResult = dict[str, JSON]
LooseList = list[dict[str, JSON]]


class LooseQuery(Query):
    """Parameters are not looked at until the operation is built."""


class VersionQuery(Query):
    """Parameters of an update: the version of the object that the client has read."""

    version: int = 0


PLUGIN_LIST: Final = Endpoint(
    method="GET", path="/plugins", operation="PluginList", area="plugins",
    summary="list managed plugins",
    query=LooseQuery, body=NoBody, result=LooseList, since=Version(1, 25),
)  # fmt: skip
GET_PLUGIN_PRIVILEGES: Final = Endpoint(
    method="GET", path="/plugins/privileges", operation="GetPluginPrivileges", area="plugins",
    summary="privileges a plugin asks for",
    query=LooseQuery, body=NoBody, result=LooseResult, since=Version(1, 25),
)  # fmt: skip
PLUGIN_PULL: Final = Endpoint(
    method="POST", path="/plugins/pull", operation="PluginPull", area="plugins",
    summary="install plugin from registry",
    query=LooseQuery, body=LooseBody, result=NoneType, status=204, since=Version(1, 25),
)  # fmt: skip
PLUGIN_INSPECT: Final = Endpoint(
    method="GET", path="/plugins/{name}/json", operation="PluginInspect", area="plugins",
    summary="plugin record",
    query=NoQuery, body=NoBody, result=LooseResult, since=Version(1, 25),
)  # fmt: skip
PLUGIN_DELETE: Final = Endpoint(
    method="DELETE", path="/plugins/{name}", operation="PluginDelete", area="plugins",
    summary="remove plugin",
    query=LooseQuery, body=NoBody, result=NoneType, since=Version(1, 25),
)  # fmt: skip
PLUGIN_ENABLE: Final = Endpoint(
    method="POST", path="/plugins/{name}/enable", operation="PluginEnable", area="plugins",
    summary="enable plugin",
    query=LooseQuery, body=NoBody, result=LooseResult, since=Version(1, 25),
)  # fmt: skip
PLUGIN_DISABLE: Final = Endpoint(
    method="POST", path="/plugins/{name}/disable", operation="PluginDisable", area="plugins",
    summary="disable plugin",
    query=LooseQuery, body=NoBody, result=LooseResult, since=Version(1, 25),
)  # fmt: skip
PLUGIN_UPGRADE: Final = Endpoint(
    method="POST", path="/plugins/{name}/upgrade", operation="PluginUpgrade", area="plugins",
    summary="replace plugin with newer",
    query=LooseQuery, body=LooseBody, result=NoneType, status=204, since=Version(1, 26),
)  # fmt: skip
PLUGIN_CREATE: Final = Endpoint(
    method="POST", path="/plugins/create", operation="PluginCreate", area="plugins",
    summary="create plugin from rootfs tar",
    query=LooseQuery, body=StreamBody, result=NoneType, status=204, since=Version(1, 25),
)  # fmt: skip
PLUGIN_PUSH: Final = Endpoint(
    method="POST", path="/plugins/{name}/push", operation="PluginPush", area="plugins",
    summary="upload plugin to registry",
    query=NoQuery, body=NoBody, result=JSONLines[ProgressMessage], since=Version(1, 25),
)  # fmt: skip
PLUGIN_SET: Final = Endpoint(
    method="POST", path="/plugins/{name}/set", operation="PluginSet", area="plugins",
    summary="change plugin settings",
    query=NoQuery, body=LooseBody, result=NoneType, status=204, since=Version(1, 25),
)  # fmt: skip
SWARM_INSPECT: Final = Endpoint(
    method="GET", path="/swarm", operation="SwarmInspect", area="swarm",
    summary="cluster record and join tokens",
    query=NoQuery, body=NoBody, result=LooseResult,
)  # fmt: skip
SWARM_INIT: Final = Endpoint(
    method="POST", path="/swarm/init", operation="SwarmInit", area="swarm",
    summary="create a cluster here",
    query=NoQuery, body=LooseBody, result=LooseResult,
)  # fmt: skip
SWARM_JOIN: Final = Endpoint(
    method="POST", path="/swarm/join", operation="SwarmJoin", area="swarm",
    summary="join an existing cluster",
    query=NoQuery, body=LooseBody, result=LooseResult,
)  # fmt: skip
SWARM_LEAVE: Final = Endpoint(
    method="POST", path="/swarm/leave", operation="SwarmLeave", area="swarm",
    summary="leave the cluster",
    query=LooseQuery, body=NoBody, result=LooseResult,
)  # fmt: skip
SWARM_UPDATE: Final = Endpoint(
    method="POST", path="/swarm/update", operation="SwarmUpdate", area="swarm",
    summary="change cluster spec, rotate tokens",
    query=LooseQuery, body=LooseBody, result=LooseResult,
)  # fmt: skip
SWARM_UNLOCKKEY: Final = Endpoint(
    method="GET", path="/swarm/unlockkey", operation="SwarmUnlockkey", area="swarm",
    summary="read autolock key",
    query=NoQuery, body=NoBody, result=LooseResult,
)  # fmt: skip
SWARM_UNLOCK: Final = Endpoint(
    method="POST", path="/swarm/unlock", operation="SwarmUnlock", area="swarm",
    summary="unlock locked manager",
    query=NoQuery, body=LooseBody, result=LooseResult,
)  # fmt: skip
NODE_LIST: Final = Endpoint(
    method="GET", path="/nodes", operation="NodeList", area="nodes",
    summary="list cluster nodes",
    query=LooseQuery, body=NoBody, result=LooseList,
)  # fmt: skip
NODE_INSPECT: Final = Endpoint(
    method="GET", path="/nodes/{id}", operation="NodeInspect", area="nodes",
    summary="node record",
    query=NoQuery, body=NoBody, result=LooseResult,
)  # fmt: skip
NODE_DELETE: Final = Endpoint(
    method="DELETE", path="/nodes/{id}", operation="NodeDelete", area="nodes",
    summary="remove node from cluster",
    query=LooseQuery, body=NoBody, result=NoneType,
)  # fmt: skip
NODE_UPDATE: Final = Endpoint(
    method="POST", path="/nodes/{id}/update", operation="NodeUpdate", area="nodes",
    summary="change role, availability, labels",
    query=LooseQuery, body=LooseBody, result=LooseResult,
)  # fmt: skip
SERVICE_LIST: Final = Endpoint(
    method="GET", path="/services", operation="ServiceList", area="services",
    summary="list services",
    query=LooseQuery, body=NoBody, result=LooseList,
)  # fmt: skip
SERVICE_CREATE: Final = Endpoint(
    method="POST", path="/services/create", operation="ServiceCreate", area="services",
    summary="create service",
    query=NoQuery, body=LooseBody, result=LooseResult, status=201,
)  # fmt: skip
SERVICE_INSPECT: Final = Endpoint(
    method="GET", path="/services/{id}", operation="ServiceInspect", area="services",
    summary="service record",
    query=LooseQuery, body=NoBody, result=LooseResult,
)  # fmt: skip
SERVICE_DELETE: Final = Endpoint(
    method="DELETE", path="/services/{id}", operation="ServiceDelete", area="services",
    summary="remove service and tasks",
    query=NoQuery, body=NoBody, result=NoneType,
)  # fmt: skip
SERVICE_UPDATE: Final = Endpoint(
    method="POST", path="/services/{id}/update", operation="ServiceUpdate", area="services",
    summary="rolling update or rollback",
    query=LooseQuery, body=LooseBody, result=LooseResult,
)  # fmt: skip
SERVICE_LOGS: Final = Endpoint(
    method="GET", path="/services/{id}/logs", operation="ServiceLogs", area="services",
    summary="merged logs of service tasks",
    query=LooseQuery, body=NoBody, result=ByteStream, since=Version(1, 29),
)  # fmt: skip
TASK_LIST: Final = Endpoint(
    method="GET", path="/tasks", operation="TaskList", area="tasks",
    summary="list tasks",
    query=LooseQuery, body=NoBody, result=LooseList,
)  # fmt: skip
TASK_INSPECT: Final = Endpoint(
    method="GET", path="/tasks/{id}", operation="TaskInspect", area="tasks",
    summary="task record",
    query=NoQuery, body=NoBody, result=LooseResult,
)  # fmt: skip
TASK_LOGS: Final = Endpoint(
    method="GET", path="/tasks/{id}/logs", operation="TaskLogs", area="tasks",
    summary="logs of one task",
    query=LooseQuery, body=NoBody, result=ByteStream, since=Version(1, 29),
)  # fmt: skip
SECRET_LIST: Final = Endpoint(
    method="GET", path="/secrets", operation="SecretList", area="secrets",
    summary="list secrets",
    query=LooseQuery, body=NoBody, result=LooseList, since=Version(1, 25),
)  # fmt: skip
SECRET_CREATE: Final = Endpoint(
    method="POST", path="/secrets/create", operation="SecretCreate", area="secrets",
    summary="create secret",
    query=NoQuery, body=LooseBody, result=LooseResult, status=201, since=Version(1, 25),
)  # fmt: skip
SECRET_INSPECT: Final = Endpoint(
    method="GET", path="/secrets/{id}", operation="SecretInspect", area="secrets",
    summary="secret record without data",
    query=NoQuery, body=NoBody, result=LooseResult, since=Version(1, 25),
)  # fmt: skip
SECRET_DELETE: Final = Endpoint(
    method="DELETE", path="/secrets/{id}", operation="SecretDelete", area="secrets",
    summary="remove secret",
    query=NoQuery, body=NoBody, result=NoneType, status=204, since=Version(1, 25),
)  # fmt: skip
SECRET_UPDATE: Final = Endpoint(
    method="POST", path="/secrets/{id}/update", operation="SecretUpdate", area="secrets",
    summary="update secret labels only",
    query=LooseQuery, body=LooseBody, result=LooseResult, since=Version(1, 25),
)  # fmt: skip
CONFIG_LIST: Final = Endpoint(
    method="GET", path="/configs", operation="ConfigList", area="configs",
    summary="list configs",
    query=LooseQuery, body=NoBody, result=LooseList, since=Version(1, 30),
)  # fmt: skip
CONFIG_CREATE: Final = Endpoint(
    method="POST", path="/configs/create", operation="ConfigCreate", area="configs",
    summary="create config",
    query=NoQuery, body=LooseBody, result=LooseResult, status=201, since=Version(1, 30),
)  # fmt: skip
CONFIG_INSPECT: Final = Endpoint(
    method="GET", path="/configs/{id}", operation="ConfigInspect", area="configs",
    summary="config record with data",
    query=NoQuery, body=NoBody, result=LooseResult, since=Version(1, 30),
)  # fmt: skip
CONFIG_DELETE: Final = Endpoint(
    method="DELETE", path="/configs/{id}", operation="ConfigDelete", area="configs",
    summary="remove config",
    query=NoQuery, body=NoBody, result=NoneType, status=204, since=Version(1, 30),
)  # fmt: skip
CONFIG_UPDATE: Final = Endpoint(
    method="POST", path="/configs/{id}/update", operation="ConfigUpdate", area="configs",
    summary="update config labels only",
    query=LooseQuery, body=LooseBody, result=LooseResult, since=Version(1, 30),
)  # fmt: skip

#: Every operation of this module.
ENDPOINTS: Final[tuple[Endpoint[Any, Any, Any], ...]] = (
    PLUGIN_LIST,
    GET_PLUGIN_PRIVILEGES,
    PLUGIN_PULL,
    PLUGIN_INSPECT,
    PLUGIN_DELETE,
    PLUGIN_ENABLE,
    PLUGIN_DISABLE,
    PLUGIN_UPGRADE,
    PLUGIN_CREATE,
    PLUGIN_PUSH,
    PLUGIN_SET,
    SWARM_INSPECT,
    SWARM_INIT,
    SWARM_JOIN,
    SWARM_LEAVE,
    SWARM_UPDATE,
    SWARM_UNLOCKKEY,
    SWARM_UNLOCK,
    NODE_LIST,
    NODE_INSPECT,
    NODE_DELETE,
    NODE_UPDATE,
    SERVICE_LIST,
    SERVICE_CREATE,
    SERVICE_INSPECT,
    SERVICE_DELETE,
    SERVICE_UPDATE,
    SERVICE_LOGS,
    TASK_LIST,
    TASK_INSPECT,
    TASK_LOGS,
    SECRET_LIST,
    SECRET_CREATE,
    SECRET_INSPECT,
    SECRET_DELETE,
    SECRET_UPDATE,
    CONFIG_LIST,
    CONFIG_CREATE,
    CONFIG_INSPECT,
    CONFIG_DELETE,
    CONFIG_UPDATE,
)
