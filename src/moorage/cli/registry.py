"""``moor registry``: start a registry in this process's place."""

import os
import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[serve|garbage-collect|passwd] [OPTIONS]")
def registry(arguments: tuple[str, ...]) -> None:
    """Run a registry of images."""
    # A server of its own: none of the command's modules stay in its memory.
    os.execv(sys.executable, [sys.executable, "-m", "moorage.distribution", *arguments])  # noqa: S606 - no shell wanted
