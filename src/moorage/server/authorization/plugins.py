"""The chain of authorization plugins that every request passes.

All must allow a request before it is handled, and its answer before it is given. Whatever
goes wrong denies: a plugin that is down lets nothing through.

Spec: Docker Engine extension, "Access authorization plugin", "Basic architecture".
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn

from moorage.errors import ForbiddenError, MoorageError, NotSupportedError, SystemFailureError
from moorage.server.authorization import messages
from moorage.server.authorization.discovery import PluginAddress, PluginDirectories, find_plugin
from moorage.server.authorization.messages import Question

_LOG: Final = logging.getLogger(__name__)
#: Seconds for one call; Docker, too, gives a plugin half a minute.
_TIMEOUT: Final = 30.0
_HOST_DIRECTORIES: Final = PluginDirectories()

_Call = Callable[[PluginAddress, str, bytes], Awaitable[bytes]]


class DeniedError(ForbiddenError):
    """A plugin said no."""

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"authorization denied by plugin {plugin}: {message}")


class PluginFailedError(SystemFailureError):
    """A plugin could not say anything."""

    def __init__(self, plugin: str, reason: object) -> None:
        super().__init__(f"plugin {plugin} failed with error: {reason}")


class WrongPluginError(NotSupportedError):
    """What answers under a plugin's name does something else."""

    def __init__(self) -> None:
        super().__init__(f"it does not implement {messages.INTERFACE}")


class _Plugin:
    """One plugin: looked for, and asked what it can do, when it is first needed."""

    def __init__(self, name: str, *, directories: PluginDirectories, timeout: float) -> None:
        self.name = name
        self._directories = directories
        self._timeout = timeout
        self._address: PluginAddress | None = None

    async def ask(self, method: str, message: bytes) -> None:
        """Return if the plugin allows it.

        Raises:
            DeniedError: It does not.
            PluginFailedError: It did not say so in time.
        """
        try:
            async with asyncio.timeout(self._timeout):
                verdict = messages.read_verdict(await self._call(method, message))
        except TimeoutError:
            self._fail(f"{method}: no answer within {self._timeout:g} seconds")
        except MoorageError as error:
            self._fail(error)
        if verdict.err:
            self._fail(verdict.err)
        if not verdict.allow:
            raise DeniedError(self.name, verdict.msg)

    def _fail(self, reason: object) -> NoReturn:
        # It may come back elsewhere, or as another program.
        self._address = None
        error = PluginFailedError(self.name, reason)
        _LOG.error("%s", error)
        raise error

    async def _call(self, method: str, message: bytes) -> bytes:
        # Files are read and a large module is loaded: not on the event loop.
        address, call = await asyncio.to_thread(self._find)
        if self._address is None:
            manifest = messages.read_manifest(await call(address, messages.ACTIVATE, b""))
            if messages.INTERFACE not in manifest.implements:
                raise WrongPluginError
            self._address = address
        return await call(address, method, message)

    def _find(self) -> tuple[PluginAddress, _Call]:
        from moorage.server.authorization.transport import call_plugin  # noqa: PLC0415 - it imports aiohttp

        return self._address or find_plugin(self.name, self._directories), call_plugin


class Authorization:
    """The plugins in force.

    Args:
        names: In the order in which they are asked.
        directories: Where they are looked for.
        timeout: Seconds for one call of a plugin.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        directories: PluginDirectories = _HOST_DIRECTORIES,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._directories = directories
        self._timeout = timeout
        self.plugins: tuple[_Plugin, ...] = ()
        self.replace(names)

    def replace(self, names: Sequence[str]) -> None:
        """Ask other plugins from the next request on; names given twice are asked once."""
        self.plugins = tuple(
            _Plugin(name, directories=self._directories, timeout=self._timeout) for name in dict.fromkeys(names)
        )

    async def check_request(self, question: Question) -> None:
        """Return if all plugins allow a request.

        Raises:
            DeniedError: One does not.
            PluginFailedError: One is out of order.
        """
        await self._ask_all(messages.ASK_REQUEST, question)

    async def check_response(self, question: Question) -> None:
        """Return if all plugins allow the answer to a request.

        Raises:
            DeniedError: One does not.
            PluginFailedError: One is out of order.
        """
        await self._ask_all(messages.ASK_RESPONSE, question)

    async def _ask_all(self, method: str, question: Question) -> None:
        message = messages.encode_question(question)
        for plugin in self.plugins:
            await plugin.ask(method, message)
