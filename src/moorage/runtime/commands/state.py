"""`state`: what a container is doing, as JSON."""

from __future__ import annotations

import json
import sys

from moorage.runtime import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("container_id", metavar="<container-id>")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Print the state."""
    state = containers.load(invocation.root, options.container_id).state()
    sys.stdout.write(f"{json.dumps(state, indent=2)}\n")
    return 0
