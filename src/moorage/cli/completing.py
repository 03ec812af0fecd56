"""Completion in shells: ``moor completion``, and the names that an argument may be."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from moorage.cli.grammar import Command

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from moorage.client.connection import Connection

# These want containers that run.
_OF_RUNNING: Final = frozenset(
    {"attach", "checkpoint", "exec", "kill", "pause", "port", "stats", "stop", "top", "unpause", "wait"}
)


@click.command(cls=Command, usage="bash|zsh|fish", minimum=1, maximum=1)
@click.argument("shell", required=False, type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print the script that has a shell complete moor's words."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - no other command needs it

    # Click knows every shell that the argument may name.
    if program := get_completion_class(shell):
        click.echo(program(ctx.find_root().command, {}, "moor", "_MOOR_COMPLETE").source())


def names(ctx: click.Context, kind: str, incomplete: str) -> list["CompletionItem"]:
    """Return what the engine has of a kind and begins so; nothing if no engine answers.

    Args:
        kind: ``container``, ``image``, ``network`` or ``volume``.
    """
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    from moorage.client.connection import Connection  # noqa: PLC0415
    from moorage.client.contexts import chosen_address  # noqa: PLC0415
    from moorage.errors import MoorageError  # noqa: PLC0415

    flags: dict[str, Any] = ctx.find_root().params
    try:
        connection = Connection(chosen_address(flags.get("host"), context=flags.get("context") or ""))
        found = sorted(_names(connection, kind, running=ctx.info_name in _OF_RUNNING))
    except MoorageError:
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _names(connection: "Connection", kind: str, *, running: bool) -> Iterable[str]:
    from moorage.api import endpoints  # noqa: PLC0415
    from moorage.api.containers import ContainerListQuery  # noqa: PLC0415
    from moorage.client.calls import call  # noqa: PLC0415

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
