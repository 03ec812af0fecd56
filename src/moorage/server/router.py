"""From a method and a path to an endpoint and its handler.

A path without parameters is one look-up; one with parameters is found by its first and last
segment, because an image's name in between may have any number of slashes.
"""

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from moorage.api.endpoint import Endpoint
from moorage.api.endpoints import ENDPOINTS
from moorage.api.own_endpoints import OWN_ENDPOINTS
from moorage.api.query import Query
from moorage.server.calls import Call
from moorage.server.responses import Response

QueryT = TypeVar("QueryT", bound=Query)
BodyT = TypeVar("BodyT")
ResultT = TypeVar("ResultT")

#: A function that answers a call, at once or after awaiting; never with a `try` around it all,
#: since errors become answers in one place.
Handler = Callable[[Call[QueryT, BodyT]], ResultT | Response | Awaitable[ResultT | Response]]

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class UnknownEndpointError(ValueError):
    """A handler was bound to an endpoint that the table does not have."""


@dataclasses.dataclass(slots=True)
class Route:
    """An endpoint, and what answers it (None: it is known, but not built)."""

    endpoint: Endpoint[Any, Any, Any]
    handler: Handler[Any, Any, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Pattern:
    """A template cut at its parameters."""

    prefix: str
    inner: str
    suffix: str
    names: tuple[str, ...]
    route: Route

    def match(self, path: str) -> dict[str, str] | None:
        end = len(path) - len(self.suffix)
        if end <= len(self.prefix) or not path.endswith(self.suffix):
            return None
        value = path[len(self.prefix) : end]
        if not self.inner:
            return {self.names[0]: value}
        first, found, second = value.partition(self.inner)
        return {self.names[0]: first, self.names[1]: second} if found and first and second else None


class Match(NamedTuple):
    """Where a request goes; `version` is the text in its path, None without one."""

    route: Route
    parameters: Mapping[str, str]
    version: str | None


_NO_PARAMETERS: Final[Mapping[str, str]] = {}


class Router:
    """All endpoints of the table, and the handlers bound so far."""

    __slots__ = ("_exact", "_patterns", "_routes")

    def __init__(self, endpoints: Iterable[Endpoint[Any, Any, Any]] = (*ENDPOINTS, *OWN_ENDPOINTS)) -> None:
        self._routes: dict[str, Route] = {}
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, str, str], list[_Pattern]] = {}
        for endpoint in endpoints:
            route = Route(endpoint)
            self._routes[endpoint.operation] = route
            for path in (endpoint.path, *endpoint.aliases):
                self._add(endpoint.method, path, route)

    def _add(self, method: str, path: str, route: Route) -> None:
        names = tuple(_PARAMETER.findall(path))
        if not names:
            self._exact[method, path] = route
            return
        prefix, *inner, suffix = _PARAMETER.split(path)[::2]
        pattern = _Pattern(prefix, "".join(inner), suffix, names, route)
        alternatives = self._patterns.setdefault((method, prefix, _tail(suffix)), [])
        alternatives.append(pattern)
        # The more a template says, the earlier it is tried.
        alternatives.sort(key=lambda each: -len(each.inner + each.suffix))

    def bind(self, endpoint: Endpoint[QueryT, BodyT, ResultT], handler: Handler[QueryT, BodyT, ResultT]) -> None:
        """Let `handler` answer `endpoint`.

        Raises:
            UnknownEndpointError: The table does not have it.
        """
        if endpoint.operation not in self._routes:
            raise UnknownEndpointError(endpoint.operation)
        self._routes[endpoint.operation].handler = handler

    def wrap(self, endpoint: Endpoint[Any, Any, Any], around: Callable[[Handler[Any, Any, Any]], Any]) -> None:
        """Put something around the handler of `endpoint`; without a handler, nothing happens."""
        route = self._routes[endpoint.operation]
        if route.handler is not None:
            route.handler = around(route.handler)

    def match(self, method: str, path: str) -> Match | None:
        """Find the route of a request; None: there is no such page."""
        version, path = _split_version(path)
        if route := self._exact.get((method, path)):
            return Match(route, _NO_PARAMETERS, version)
        prefix = path[: path.find("/", 1) + 1]
        for tail in (_tail(path), ""):
            for pattern in self._patterns.get((method, prefix, tail), ()):
                if (parameters := pattern.match(path)) is not None:
                    return Match(pattern.route, parameters, version)
        return None


def _tail(path: str) -> str:
    return path[path.rfind("/") :] if "/" in path else ""


def _split_version(path: str) -> tuple[str | None, str]:
    if not path.startswith("/v"):
        return None, path
    end = path.find("/", 1)
    text = path[2:end]
    if end < 0 or not text or text.strip("0123456789."):
        return None, path
    return text, path[end:]
