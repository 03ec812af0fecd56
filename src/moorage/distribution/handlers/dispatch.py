"""From a request to the one handler that answers it, with access control and metrics around it.

Spec: distribution-spec, "Endpoints".
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from moorage.distribution.access.control import AccessControl, Action
from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.handlers.answers import API_HEADERS, answer_json, answer_refusal
from moorage.distribution.metrics import Metrics
from moorage.distribution.names import check_repository
from moorage.distribution.routes import Resource, Route, find_route

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request, Route], Awaitable[web.StreamResponse]]
Table = Mapping[tuple[Resource, str], Handler]

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Answers every request below /v2/.

    Attributes:
        table: Handlers by resource and method.
        read_only: Refuse whatever changes the store: a pull-through cache, or maintenance.
    """

    table: Table
    access: AccessControl
    metrics: Metrics
    read_only: bool = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; what goes wrong becomes an answer as well."""
        began = time.monotonic()
        resource = "unknown"
        try:
            route = find_route(request.path)
            resource = route.resource.value
            response = await self._answer(request, route)
        except RegistryRefusal as refusal:
            response = answer_refusal(refusal)
        except (ConnectionError, TimeoutError, web.HTTPException):
            raise  # the client is gone, or aiohttp has an answer of its own
        except Exception as error:  # noqa: BLE001  # the supervisor of all requests
            # A file of passwords or rights that can't be understood opens nothing; a disk or an object store can fail.
            _log.exception("%s %s failed", request.method, request.path)
            response = _failure(str(error))
        self.metrics.answered(
            method=request.method, resource=resource, status=response.status, seconds=time.monotonic() - began
        )
        return response

    async def _answer(self, request: web.Request, route: Route) -> web.StreamResponse:
        if route.repository:
            check_repository(route.repository)
        await self.access.check(request, route, _action(request.method, route))
        method = "GET" if request.method == "HEAD" else request.method
        handler = self.table.get((route.resource, method))
        if handler is None or (self.read_only and request.method not in _READING):
            raise RegistryRefusal("UNSUPPORTED", "The operation is unsupported.", headers=_allow(self.table, route))
        return await handler(request, route)


def _action(method: str, route: Route) -> Action:
    if route.resource is Resource.CATALOG:
        return Action.CATALOG
    if method in _READING:
        return Action.PULL
    return Action.DELETE if method == "DELETE" and route.resource is not Resource.UPLOAD else Action.PUSH


def _allow(table: Table, route: Route) -> dict[str, str]:
    return {"Allow": ", ".join(sorted(method for resource, method in table if resource is route.resource))}


def _failure(message: str) -> web.Response:
    body = {"errors": [{"code": "UNKNOWN", "message": message}]}
    return answer_json(body, status=507 if "No space" in message else 500, headers=API_HEADERS)
