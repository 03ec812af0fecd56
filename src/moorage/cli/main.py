"""The ``moor`` command: Docker's grammar for Moorage's engine."""

import sys
from typing import Final

import click

from moorage.cli.grammar import USAGE_STATUS, Group, daemon_error
from moorage.cli.session import Session
from moorage.errors import MoorageError

# Where each command lives; its module is imported when it is used.
_CONTAINER: Final = {
    "attach": "attaching:attach",
    "commit": "copying:commit",
    "cp": "copying:cp",
    "create": "running:create",
    "diff": "copying:diff",
    "exec": "executing:exec_",
    "export": "copying:export",
    "inspect": "inspecting:container_inspect",
    "kill": "containers:kill",
    "logs": "output:logs",
    "ls": "listing:ps",
    "list": "listing:ps",
    "ps": "listing:ps",
    "pause": "containers:pause",
    "port": "containers:port",
    "prune": "pruning:container_prune",
    "rename": "containers:rename",
    "restart": "containers:restart",
    "rm": "containers:rm",
    "remove": "containers:rm",
    "run": "running:run",
    "start": "attaching:start",
    "stats": "stats:stats",
    "stop": "containers:stop",
    "top": "containers:top",
    "unpause": "containers:unpause",
    "update": "containers:update",
    "wait": "containers:wait",
}
_IMAGE: Final = {
    "history": "images:history",
    "import": "transfer:import_",
    "inspect": "inspecting:image_inspect",
    "load": "transfer:load",
    "ls": "images:images",
    "list": "images:images",
    "prune": "pruning:image_prune",
    "pull": "transfer:pull",
    "push": "transfer:push",
    "rm": "images:rmi",
    "remove": "images:rmi",
    "save": "transfer:save",
    "tag": "images:tag",
}
_NETWORK: Final = {
    "connect": "networks:connect",
    "create": "networks:create",
    "disconnect": "networks:disconnect",
    "inspect": "inspecting:network_inspect",
    "ls": "networks:ls",
    "list": "networks:ls",
    "prune": "pruning:network_prune",
    "rm": "networks:rm",
    "remove": "networks:rm",
}
_VOLUME: Final = {
    "create": "volumes:create",
    "inspect": "inspecting:volume_inspect",
    "ls": "volumes:ls",
    "list": "volumes:ls",
    "prune": "pruning:volume_prune",
    "rm": "volumes:rm",
    "remove": "volumes:rm",
}
_SYSTEM: Final = {
    "df": "disk_usage:df",
    "events": "events:events",
    "info": "system:info",
    "prune": "pruning:system_prune",
}
_SHORTCUTS: Final = {
    **{name: _CONTAINER[name] for name in _CONTAINER if name not in {"inspect", "ls", "list", "prune", "remove"}},
    **{name: _IMAGE[name] for name in ("history", "import", "load", "pull", "push", "save", "tag")},
    "images": "images:images",
    "rmi": "images:rmi",
    "events": "events:events",
    "info": "system:info",
    "inspect": "inspecting:inspect",
    "login": "accounts:login",
    "logout": "accounts:logout",
    "search": "transfer:search",
    "version": "system:version",
    "container": "main:container",
    "image": "main:image",
    "network": "main:network",
    "volume": "main:volume",
    "system": "main:system",
}

container = Group("container", lazy=_CONTAINER, help="Manage containers")
image = Group("image", lazy=_IMAGE, help="Manage images")
network = Group("network", lazy=_NETWORK, help="Manage networks")
volume = Group("volume", lazy=_VOLUME, help="Manage volumes")
system = Group("system", lazy=_SYSTEM, help="Manage Moorage")


@click.group(cls=Group, lazy=_SHORTCUTS, invoke_without_command=False)
@click.version_option(package_name="moorage", prog_name="moor", message="Moorage version %(version)s")
@click.option("-H", "--host", metavar="string", help="Daemon socket to connect to")
@click.pass_context
def moor(ctx: click.Context, host: str | None) -> None:
    """A container platform for anyone who has Python and Linux."""
    ctx.obj = Session(host)


def main() -> None:
    """Run ``moor`` and exit with its status."""
    try:
        moor.main(prog_name="moor", standalone_mode=False)
    except MoorageError as error:
        click.echo(daemon_error(error), err=True)
        sys.exit(1)
    except click.NoSuchOption as error:
        click.echo(f"unknown flag: {error.option_name}\n\nRun 'moor --help' for more information", err=True)
        sys.exit(USAGE_STATUS)
    except click.ClickException as error:
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has left, as `head` does.
        sys.stderr.close()
        sys.exit(141)
