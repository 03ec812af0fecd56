"""`create`: everything but the program runs; `start` releases it."""

from __future__ import annotations

from moorage.runtime.errors import StartError
from moorage.runtime.launching import add_launch_options, create_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_launch_options(parser)


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Create the container and leave it waiting."""
    try:
        create_container(options, invocation, waits=True)
    except StartError as error:
        raise StartError(f"moor-oci create failed: {error}", error.exit_code) from error
    return 0
