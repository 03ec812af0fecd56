"""What one row of the table of operations says.

The server binds a handler to a row, the client calls one: both take their types from it.
"""

import dataclasses
from typing import Final, Generic, TypeVar

import msgspec

from moorage.api.query import Query
from moorage.api.versions import MINIMUM, Version

QueryT = TypeVar("QueryT", bound=Query)
BodyT = TypeVar("BodyT")
ResultT = TypeVar("ResultT")


class NoBody(msgspec.Struct, frozen=True):
    """The operation reads no body; one that is sent is discarded."""


class StreamBody(msgspec.Struct, frozen=True):
    """The body is bytes of any length, read by the handler as they arrive."""


#: "Since ever": what the oldest version spoken has.
ALWAYS: Final = MINIMUM


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Generic[QueryT, BodyT, ResultT]):
    """One operation of the Engine API.

    Attributes:
        path: A template; a {parameter} may hold slashes, as image names do.
        result: A model, a list of them, str for plain text, NoneType for no content, or a
            stream type of `moorage.api.streams`.
        status: What success answers.
        since: Requests for an older version are refused.
        aliases: Other paths with the same meaning.
    """

    method: str
    path: str
    operation: str
    area: str
    summary: str
    query: type[QueryT]
    body: type[BodyT]
    result: type[ResultT]
    status: int = 200
    since: Version = ALWAYS
    aliases: tuple[str, ...] = ()
