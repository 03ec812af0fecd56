"""The names that an argument may be, for a shell to complete: only then is this module loaded."""

from collections.abc import Iterable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from moorage.api import endpoints
from moorage.api.containers import ContainerListQuery
from moorage.client.calls import call
from moorage.client.connection import Connection
from moorage.client.contexts import chosen_address
from moorage.errors import MoorageError

# These want containers that run.
_OF_RUNNING: Final = frozenset(
    {"attach", "checkpoint", "exec", "kill", "pause", "port", "stats", "stop", "top", "unpause", "wait"}
)


def names(ctx: click.Context, kind: str, incomplete: str) -> list[CompletionItem]:
    """Return what the engine has of a kind and begins so; nothing if no engine answers.

    Args:
        kind: ``container``, ``image``, ``network`` or ``volume``.
    """
    flags: dict[str, Any] = ctx.find_root().params
    try:
        connection = Connection(chosen_address(flags.get("host"), context=flags.get("context") or ""))
        found = sorted(_names(connection, kind, running=ctx.info_name in _OF_RUNNING))
    except MoorageError:
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _names(connection: Connection, kind: str, *, running: bool) -> Iterable[str]:
    match kind:
        case "container":
            query = ContainerListQuery(all=not running)
            listed = connection.perform(call(endpoints.CONTAINER_LIST, query=query))
            return [name.removeprefix("/") for one in listed for name in one.names or () if name.count("/") == 1]
        case "image":
            return [tag for one in connection.perform(call(endpoints.IMAGE_LIST)) for tag in one.repo_tags or ()]
        case "network":
            return [one.name for one in connection.perform(call(endpoints.NETWORK_LIST))]
        case _:
            return [one.name for one in connection.perform(call(endpoints.VOLUME_LIST)).volumes or ()]
