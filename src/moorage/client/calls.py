"""A call of one endpoint: the request that it becomes, and the result read from the answer.

Pure. Both clients and the command line build their requests here, from the same table
that the server serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec

from moorage.api.endpoint import Endpoint, NoBody, StreamBody
from moorage.api.filters import Filters
from moorage.api.query import Query
from moorage.api.versions import MAXIMUM, Version, read_version
from moorage.api.wire import read_json
from moorage.client.errors import error_for
from moorage.client.http1 import Head

ResultT = TypeVar("ResultT")
QueryT = TypeVar("QueryT", bound=Query)
BodyT = TypeVar("BodyT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[ResultT]):
    """One request, ready to be sent.

    Attributes:
        target: Path and query, without the version prefix.
        body: None where the caller sends a stream, or where there is none.
        result: What `decode` returns; a stream type where the answer is one.
    """

    method: str
    target: str
    result: type[ResultT]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def versioned(self, version: Version | None) -> str:
        """Return the target of a request for this API version."""
        return self.target if version is None else f"/v{version}{self.target}"


def call(
    endpoint: Endpoint[QueryT, BodyT, ResultT],
    *,
    path: Mapping[str, str] | None = None,
    query: QueryT | None = None,
    body: BodyT | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call[ResultT]:
    """Return the call of an endpoint.

    Args:
        path: Values of the path's parameters; slashes in an image's name stay.
        query: Parameters at their default are left out.
        body: The model; it is None where the endpoint has no body or reads a stream.
    """
    target = endpoint.path.format_map({name: quote(text, safe="/:@") for name, text in (path or {}).items()})
    if parameters := encode_query(query):
        target = f"{target}?{parameters}"
    encoded, fields = None, dict(headers or {})
    if body is not None and not isinstance(body, NoBody | StreamBody):
        encoded = msgspec.json.encode(body)
        fields["Content-Type"] = "application/json"
    return Call(method=endpoint.method, target=target, result=endpoint.result, headers=fields, body=encoded)


def encode_query(query: Query | None) -> str:
    """Return the query string of a parameter model."""
    if query is None:
        return ""
    defaults = type(query)()
    pairs: list[tuple[str, str]] = []
    for item in msgspec.structs.fields(query):
        value = getattr(query, item.name)
        if value is not None and value != getattr(defaults, item.name):
            pairs += [(item.encode_name, text) for text in _texts(value)]
    return urlencode(pairs)


def _texts(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["1" if value else "0"]
    if isinstance(value, Filters):
        return [msgspec.json.encode(value.values).decode()]
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [str(value)]


def decode(request: Call[ResultT], *, status: int, body: bytes) -> ResultT:
    """Return the result of a call that is no stream.

    Raises:
        MoorageError: The engine refused; the kind says why.
    """
    if status >= 400:
        raise error_for(status, body)
    if request.result is NoneType or not body:
        return cast("ResultT", None)  # these endpoints' result type is None
    if request.result is str:
        return cast("ResultT", body.decode())  # and this one's is str
    return read_json(body, request.result)


def agreed_version(head: Head) -> Version:
    """Return the newest API version that this client and the engine behind a ping speak.

    Raises:
        MalformedVersionError: The engine names none that can be read.
    """
    text = head.headers.get("api-version")
    return MAXIMUM if text is None else min(MAXIMUM, read_version(text))
