"""Handlers of clusters: this node belongs to none, which is what it says.

Clients ask for more than they need ("leave, if you are in a cluster"), so the answers are
those of a Docker engine outside a swarm. Only what would make or join a cluster is not built.
"""

from typing import Any, Final

from moorage.api import cluster_endpoints as endpoints
from moorage.api.endpoint import Endpoint
from moorage.errors import UnavailableError
from moorage.server.calls import Call
from moorage.server.responses import Response
from moorage.server.router import Router

_MANAGER_ONLY: Final[tuple[Endpoint[Any, Any, Any], ...]] = (
    endpoints.SWARM_INSPECT,
    endpoints.SWARM_UPDATE,
    endpoints.SWARM_UNLOCKKEY,
    endpoints.SWARM_UNLOCK,
    endpoints.NODE_LIST,
    endpoints.NODE_INSPECT,
    endpoints.NODE_DELETE,
    endpoints.NODE_UPDATE,
    endpoints.SERVICE_LIST,
    endpoints.SERVICE_CREATE,
    endpoints.SERVICE_INSPECT,
    endpoints.SERVICE_DELETE,
    endpoints.SERVICE_UPDATE,
    endpoints.SERVICE_LOGS,
    endpoints.TASK_LIST,
    endpoints.TASK_INSPECT,
    endpoints.TASK_LOGS,
    endpoints.SECRET_LIST,
    endpoints.SECRET_CREATE,
    endpoints.SECRET_INSPECT,
    endpoints.SECRET_DELETE,
    endpoints.SECRET_UPDATE,
    endpoints.CONFIG_LIST,
    endpoints.CONFIG_CREATE,
    endpoints.CONFIG_INSPECT,
    endpoints.CONFIG_DELETE,
    endpoints.CONFIG_UPDATE,
)


class NotManagerError(UnavailableError):
    """Only a cluster's manager can answer."""

    def __init__(self) -> None:
        super().__init__(
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
            "to connect this node to swarm and try again."
        )


class NotInClusterError(UnavailableError):
    """There is no cluster to leave."""

    def __init__(self) -> None:
        super().__init__("This node is not part of a swarm")


def bind(router: Router) -> None:
    """Give the router the answers of a node outside a cluster."""
    for endpoint in _MANAGER_ONLY:
        router.bind(endpoint, refuse)
    router.bind(endpoints.SWARM_LEAVE, leave)


def refuse(_: Call[Any, Any]) -> Response:
    """Answer what only a manager may be asked."""
    raise NotManagerError


def leave(_: Call[Any, Any]) -> Response:
    """Answer POST /swarm/leave."""
    raise NotInClusterError
