"""Handlers of plugins and of the build cache: there are none, which is what they say.

Clients ask whether something is a plugin before they say that it does not exist, and prune
every kind of thing; both must hear "none" rather than "not built". Installing a plugin and
building are not built yet, and answer so.
"""

from typing import Any, Final

from moorage.api import build, cluster_endpoints, endpoints
from moorage.api.endpoint import Endpoint
from moorage.errors import NotFoundError
from moorage.server.calls import Call
from moorage.server.responses import Response, json_response
from moorage.server.router import Router

_ABOUT_ONE: Final[tuple[Endpoint[Any, Any, Any], ...]] = (
    cluster_endpoints.PLUGIN_INSPECT,
    cluster_endpoints.PLUGIN_DELETE,
    cluster_endpoints.PLUGIN_ENABLE,
    cluster_endpoints.PLUGIN_DISABLE,
)


class PluginNotFoundError(NotFoundError):
    """No plugin has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f'plugin "{name}" not found')


def bind(router: Router) -> None:
    """Give the router the answers of an engine without plugins and without a build cache."""
    router.bind(cluster_endpoints.PLUGIN_LIST, list_plugins)
    for endpoint in _ABOUT_ONE:
        router.bind(endpoint, find_plugin)
    router.bind(endpoints.BUILD_PRUNE, prune_cache)


def list_plugins(_: Call[Any, Any]) -> Response:
    """Answer GET /plugins."""
    return json_response([])


def find_plugin(call: Call[Any, Any]) -> Response:
    """Answer what is asked of one plugin."""
    raise PluginNotFoundError(call.path["name"])


def prune_cache(_: Call[Any, Any]) -> build.BuildPruneResponse:
    """Answer POST /build/prune."""
    return build.BuildPruneResponse()
