"""Completion in shells: ``moor completion``."""

import click

from moorage.cli.grammar import Command


@click.command(cls=Command, usage="bash|zsh|fish", minimum=1, maximum=1)
@click.argument("shell", required=False, type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print the script that has a shell complete moor's words."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - no other command needs it

    # Click knows every shell that the argument may name.
    if program := get_completion_class(shell):
        click.echo(program(ctx.find_root().command, {}, "moor", "_MOOR_COMPLETE").source())
