"""From a request to an answer: route, version, decoding, the handler, encoding, errors.

Errors are caught here and nowhere else: before an answer began they become its status; in a
stream that began they become its last message, or break it off.
"""

import http
import inspect
import logging
from collections.abc import Coroutine
from typing import Any, Final, get_args

from moorage.api import endpoints
from moorage.api.endpoint import Endpoint, NoBody, StreamBody
from moorage.api.progress import ProgressMessage
from moorage.api.query import read_query
from moorage.api.streams import ByteStream, Hijack, JSONLines, MultiplexedStream
from moorage.api.versions import MINIMUM, EndpointTooNewError, Version, VersionTooOldError, negotiate
from moorage.api.wire import MalformedBodyError, read_json
from moorage.errors import MoorageError
from moorage.server import errors, responses, streaming
from moorage.server.authorization import messages
from moorage.server.authorization.messages import Question, UnseenBodyError
from moorage.server.authorization.plugins import Authorization
from moorage.server.bodies import ClientGoneError
from moorage.server.calls import Call
from moorage.server.exchange import Exchange
from moorage.server.responses import JSON_TYPE, TEXT_TYPE, HeadWriter, Response
from moorage.server.router import Match, Route, Router

_LOG: Final = logging.getLogger(__name__)
#: No request of the API comes near it; a body without a limit would fill the memory.
JSON_BODY_LIMIT: Final = 16 * 1024 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPLEXED_SINCE: Final = Version(1, 42)
_EMPTY: Final = {status: Response(status=status) for status in (200, 201, 204)}
_OPTIONS: Final = Response(status=200)


class Application:
    """Answers the requests of all connections.

    Args:
        product: Name and version for the Server field, such as Docker/28.2.2.
        minimum: The oldest version that is spoken.
        authorization: Who is asked about each request; nobody if left out.
    """

    def __init__(
        self,
        router: Router,
        *,
        product: str,
        experimental: bool = False,
        minimum: Version = MINIMUM,
        authorization: Authorization | None = None,
    ) -> None:
        self._router = router
        self._authorization = authorization or Authorization()
        self._minimum = minimum
        self.heads = HeadWriter(product=product, experimental=experimental)

    def handle(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer at once, or return what will; never raises."""
        if self._authorization.plugins:
            return self._authorize_and_handle(exchange)
        return self._handle(exchange)

    def _handle(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        try:
            return self._dispatch(exchange)
        except Exception as error:  # noqa: BLE001  # the one supervisor of all handlers
            _fail(exchange, error)
            return None

    async def _authorize_and_handle(self, exchange: Exchange) -> None:
        try:
            question = messages.request_question(
                exchange.head, await _peek(exchange), identity=messages.identify(exchange.tls)
            )
            await self._authorization.check_request(question)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever goes wrong here denies
            _fail(exchange, error)
            return
        exchange.withholds = True
        rest = self._handle(exchange)
        if rest is not None:
            await rest
        if exchange.withheld is not None:
            await self._authorize_answer(exchange, question, exchange.withheld)

    async def _authorize_answer(self, exchange: Exchange, question: Question, answer: Response) -> None:
        exchange.withholds = False
        try:
            await self._authorization.check_response(messages.response_question(question, answer))
        except Exception as error:  # noqa: BLE001  # likewise
            _fail(exchange, error)
        else:
            exchange.respond(answer)

    def _dispatch(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        head = exchange.head
        match = self._router.match(head.method, head.path)
        if match is None:
            if head.method == "OPTIONS":
                exchange.respond(_OPTIONS)
                return None
            raise errors.PageNotFoundError
        version = negotiate(match.version, minimum=self._minimum)
        endpoint = match.route.endpoint
        if version < endpoint.since:
            raise EndpointTooNewError(endpoint.method, endpoint.path, endpoint.since)
        if match.route.handler is None:
            raise errors.NotBuiltError(endpoint.method, endpoint.path)
        if _takes_form(endpoint, exchange) and _is_form(exchange):
            return _receive_and_call(exchange, match, version)
        if endpoint.body in {NoBody, StreamBody}:
            return _call(exchange, match, version, endpoint.body())
        _check_content_type(exchange)
        if exchange.body.complete:
            return _call(exchange, match, version, _read_body(exchange.body.take(), endpoint.body))
        return _receive_and_call(exchange, match, version)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _takes_form(endpoint: Endpoint[Any, Any, Any], exchange: Exchange) -> bool:
    # A pull has no body, but its endpoint also takes an image to import, whatever its type is said to be.
    return endpoint.body is NoBody or (endpoint is endpoints.IMAGE_CREATE and "fromSrc" not in exchange.head.query)


def _is_form(exchange: Exchange) -> bool:
    """Tell whether the body has parameters, as a query does: `curl -d name=value` sends such."""
    head = exchange.head
    return head.method == "POST" and head.length != 0 and _media_type(head.headers.get("content-type", "")) == _FORM


def _check_content_type(exchange: Exchange) -> None:
    head = exchange.head
    content_type = head.headers.get("content-type", "")
    if head.length == 0 and not content_type:
        return
    if _media_type(content_type) != JSON_TYPE:
        raise errors.MalformedContentTypeError(content_type)
    if head.length is not None and head.length > JSON_BODY_LIMIT:
        raise errors.BodyTooLargeError(JSON_BODY_LIMIT)


def _read_body(data: bytes, model: type[Any]) -> Any:
    if not data:
        return model()
    if not data.strip():
        raise MalformedBodyError("got EOF while reading request body")
    return read_json(data, model)


async def _receive(exchange: Exchange, *, too_large: MoorageError, limit: int) -> bytes:
    data = bytearray()
    async for chunk in exchange.body:
        data += chunk
        if len(data) > limit:
            raise too_large
    return bytes(data)


async def _peek(exchange: Exchange) -> bytes:
    """Return the body that plugins see, and leave it for the handler."""
    head = exchange.head
    if head.length == 0 or not messages.shows_body(head):
        return b""
    if head.length is not None and head.length > messages.BODY_LIMIT:
        raise UnseenBodyError
    body = await _receive(exchange, too_large=UnseenBodyError(), limit=messages.BODY_LIMIT)
    if body:
        exchange.body.feed(body)
    return body


async def _receive_and_call(exchange: Exchange, match: Match, version: Version) -> None:
    try:
        data = await _receive(exchange, too_large=errors.BodyTooLargeError(JSON_BODY_LIMIT), limit=JSON_BODY_LIMIT)
        model = match.route.endpoint.body
        if model in {NoBody, StreamBody}:
            rest = _call(exchange, match, version, model(), form=data.decode("utf-8", "surrogateescape"))
        else:
            rest = _call(exchange, match, version, _read_body(data, model))
    except ClientGoneError:
        raise
    except Exception as error:  # noqa: BLE001  # the one supervisor of all handlers
        _fail(exchange, error)
        return
    if rest is not None:
        await rest


def _call(
    exchange: Exchange, match: Match, version: Version, body: Any, *, form: str = ""
) -> Coroutine[Any, Any, None] | None:
    route, head = match.route, exchange.head
    call = Call(
        # Of a parameter that is in both, the form's value counts.
        query=read_query(f"{form}&{head.query}" if form else head.query, route.endpoint.query),
        body=body,
        path=match.parameters,
        version=version,
        headers=head.headers,
        exchange=exchange,
    )
    assert route.handler is not None  # noqa: S101  # _dispatch looked
    result = route.handler(call)
    # The commonest first: every request comes through here.
    if isinstance(result, Response):
        exchange.respond(result)
        return None
    if inspect.isawaitable(result):
        return _await(exchange, route, version, result)
    return _answer(exchange, route, version, result)


async def _await(exchange: Exchange, route: Route, version: Version, pending: Any) -> None:
    try:
        rest = _answer(exchange, route, version, await pending)
        if rest is not None:
            await rest
    except ClientGoneError:
        raise
    except Exception as error:  # noqa: BLE001  # the one supervisor of all handlers
        _fail(exchange, error)


def _answer(exchange: Exchange, route: Route, version: Version, result: Any) -> Coroutine[Any, Any, None] | None:
    if isinstance(result, JSONLines):
        return _send_lines(exchange, route, result)
    if isinstance(result, ByteStream):
        return _send_bytes(exchange, route, result, version)
    if isinstance(result, Response):
        exchange.respond(result)
    elif result is None:
        exchange.respond(_EMPTY[route.endpoint.status])
    elif isinstance(result, str):
        exchange.respond(Response(status=route.endpoint.status, body=result.encode(), content_type=TEXT_TYPE))
    elif not isinstance(result, Hijack):
        exchange.respond(responses.json_response(result, status=route.endpoint.status))
    return None


def _send_lines(exchange: Exchange, route: Route, lines: JSONLines[Any]) -> Coroutine[Any, Any, None]:
    # Docker ends progress messages with CR LF, everything else with LF.
    progress = ProgressMessage in get_args(route.endpoint.result)
    return streaming.send_lines(
        exchange, lines, status=route.endpoint.status, ending=b"\r\n" if progress else b"\n", fail=_fail
    )


def _send_bytes(exchange: Exchange, route: Route, stream: ByteStream, version: Version) -> Coroutine[Any, Any, None]:
    content_type = stream.content_type
    if isinstance(stream, MultiplexedStream) and version < _MULTIPLEXED_SINCE:
        content_type = ByteStream.content_type
    return streaming.send_bytes(exchange, stream, status=route.endpoint.status, content_type=content_type, fail=_fail)


def _fail(exchange: Exchange, error: Exception) -> None:
    """Answer with an error, if there is still room for an answer."""
    status = errors.status_for(error)
    message = errors.message_for(error)
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, MoorageError):
        _LOG.error("a handler failed: %s %s", exchange.head.method, exchange.head.path, exc_info=error)
    if exchange.hijacked or exchange.finished:
        return
    if isinstance(error, VersionTooOldError):
        # Clients that old expect text.
        exchange.respond(Response(status=status, body=f"{message}\n".encode(), content_type=TEXT_TYPE))
        return
    exchange.respond(responses.error_response(status, message))
