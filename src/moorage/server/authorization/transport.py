"""Calls of a plugin over HTTP.

This module imports aiohttp, so it is imported when the first plugin is called.
"""

import http
from typing import Final

import aiohttp
import msgspec

from moorage.errors import UnavailableError
from moorage.server.authorization.discovery import PluginAddress
from moorage.server.authorization.messages import MESSAGE_TYPE

#: Bytes; an answer is a few words.
_ANSWER_LIMIT: Final = 1024 * 1024


class PluginCallError(UnavailableError):
    """A plugin does not listen, or does not answer as it must."""


class _Failure(msgspec.Struct, rename={"err": "Err"}):
    """What is looked at in the body of a failed call, which may be a whole verdict."""

    err: str = ""


async def call_plugin(address: PluginAddress, method: str, message: bytes) -> bytes:
    """Send a message and return the answer, as long as that takes.

    Raises:
        PluginCallError: There is none.
    """
    # A connection of its own for each call: a plugin may be started anew at any time, and a
    # question that was lost with an old connection could not be told from one that was heard.
    connector: aiohttp.BaseConnector
    if address.socket:
        connector = aiohttp.UnixConnector(address.socket, force_close=True)
    else:
        connector = aiohttp.TCPConnector(ssl=address.tls or True, force_close=True)
    headers = {"Accept": MESSAGE_TYPE, "Content-Type": MESSAGE_TYPE}
    timeout = aiohttp.ClientTimeout(total=None)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(address.url + method, data=message, headers=headers, allow_redirects=False) as answer,
        ):
            data = await _read(answer)
    except aiohttp.ClientConnectorError as error:
        raise PluginCallError(f"{method}: dial {address.socket or address.url}: {error.strerror}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise PluginCallError(f"{method}: {str(error) or type(error).__name__}") from None
    if answer.status != http.HTTPStatus.OK:
        raise PluginCallError(f"{method}: {_complaint(data) or f'status {answer.status}'}")
    return data


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > _ANSWER_LIMIT:
            raise PluginCallError(f"the answer is larger than {_ANSWER_LIMIT} bytes")
    return bytes(data)


def _complaint(data: bytes) -> str:
    """Return what the body of a failed call says: an object with `Err`, or text, on one line."""
    try:
        said = msgspec.json.decode(data, type=_Failure).err
    except msgspec.DecodeError:
        said = data.decode("utf-8", "replace")
    return " ".join(said.split())
