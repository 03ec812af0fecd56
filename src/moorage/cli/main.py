"""The ``moor`` command: Docker's grammar for Moorage's engine."""

import os
import sys
from typing import Any, Final

import click

from moorage.cli.grammar import USAGE_STATUS, Group, daemon_error
from moorage.cli.session import Session
from moorage.client.contexts import TLSChoice
from moorage.errors import MoorageError

_LOG_LEVELS: Final = frozenset({"debug", "info", "warn", "warning", "error", "fatal", "panic"})
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
    "copy": "copying_images:copy",
    "history": "images:history",
    "import": "transfer:import_",
    "inspect": "inspecting:image_inspect",
    "keygen": "signing:keygen",
    "load": "transfer:load",
    "ls": "images:images",
    "list": "images:images",
    "prune": "pruning:image_prune",
    "pull": "transfer:pull",
    "push": "transfer:push",
    "rm": "images:rmi",
    "remove": "images:rmi",
    "save": "transfer:save",
    "sign": "signing:sign",
    "tag": "images:tag",
    "verify": "signing:verify",
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
_CHECKPOINT: Final = {
    "create": "checkpoints:create",
    "ls": "checkpoints:ls",
    "list": "checkpoints:ls",
    "rm": "checkpoints:rm",
    "remove": "checkpoints:rm",
}
_CONTEXT: Final = {
    "create": "contexts:create",
    "export": "context_archives:export",
    "import": "context_archives:import_",
    "inspect": "contexts:inspect",
    "ls": "contexts:ls",
    "list": "contexts:ls",
    "rm": "contexts:rm",
    "remove": "contexts:rm",
    "show": "contexts:show",
    "update": "contexts:update",
    "use": "contexts:use",
}
_VOLUME: Final = {
    "create": "volumes:create",
    "inspect": "inspecting:volume_inspect",
    "ls": "volumes:ls",
    "list": "volumes:ls",
    "prune": "pruning:volume_prune",
    "rm": "volumes:rm",
    "remove": "volumes:rm",
    "update": "volumes:update",
}
_SYSTEM: Final = {
    "df": "disk_usage:df",
    "dial-stdio": "dialling:dial_stdio",
    "events": "events:events",
    "fsck": "store:fsck",
    "gc": "store:gc",
    "info": "system:info",
    "prune": "pruning:system_prune",
}
_SHORTCUTS: Final = {
    **{name: _CONTAINER[name] for name in _CONTAINER if name not in {"inspect", "ls", "list", "prune", "remove"}},
    **{name: _IMAGE[name] for name in ("history", "import", "load", "pull", "push", "save", "tag")},
    "images": "images:images",
    "rmi": "images:rmi",
    "completion": "completing:completion",
    "events": "events:events",
    "info": "system:info",
    "inspect": "inspecting:inspect",
    "login": "accounts:login",
    "logout": "accounts:logout",
    "registry": "registry:registry",
    "search": "transfer:search",
    "version": "system:version",
    "checkpoint": "main:checkpoint",
    "container": "main:container",
    "context": "main:context",
    "image": "main:image",
    "network": "main:network",
    "volume": "main:volume",
    "system": "main:system",
}

checkpoint = Group("checkpoint", lazy=_CHECKPOINT, help="Manage checkpoints")
container = Group("container", lazy=_CONTAINER, help="Manage containers")
context = Group("context", lazy=_CONTEXT, help="Manage contexts")
image = Group("image", lazy=_IMAGE, help="Manage images")
network = Group("network", lazy=_NETWORK, help="Manage networks")
volume = Group("volume", lazy=_VOLUME, help="Manage volumes")
system = Group("system", lazy=_SYSTEM, help="Manage Moorage")


@click.group(cls=Group, lazy=_SHORTCUTS, invoke_without_command=False)
@click.version_option(
    None, "-v", "--version", package_name="moorage", prog_name="moor", message="Moorage version %(version)s"
)
@click.option("--config", metavar="string", help="Location of client config files")
@click.option("-c", "--context", default="", metavar="string", help="Name of the context to use")
@click.option("-D", "--debug", is_flag=True, help="Enable debug mode")
@click.option("-H", "--host", metavar="string", help="Daemon socket to connect to")
@click.option("-l", "--log-level", default="info", metavar="string", help="Set the logging level")
@click.option("--tls", is_flag=True, help="Use TLS; implied by --tlsverify")
@click.option("--tlscacert", default="", metavar="string", help="Trust certs signed only by this CA")
@click.option("--tlscert", default="", metavar="string", help="Path to TLS certificate file")
@click.option("--tlskey", default="", metavar="string", help="Path to TLS key file")
@click.option("--tlsverify", is_flag=True, help="Use TLS and verify the remote")
@click.pass_context
def moor(
    ctx: click.Context, /, host: str | None, *, config: str | None, debug: bool, log_level: str, **flags: Any
) -> None:
    """A container platform for anyone who has Python and Linux."""
    if log_level not in _LOG_LEVELS:
        click.echo(f"Unable to parse logging level: {log_level}", err=True)
        sys.exit(1)
    if debug or log_level == "debug":
        import logging  # noqa: PLC0415 - a tenth of the time that most commands take

        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    if config:
        # Where credentials and contexts are read is the environment's to say.
        os.environ["DOCKER_CONFIG"] = config
    tls = TLSChoice(
        encrypt=flags["tls"],
        verify=flags["tlsverify"],
        ca=flags["tlscacert"],
        certificate=flags["tlscert"],
        key=flags["tlskey"],
    )
    ctx.obj = Session(host, context=flags["context"], tls=tls)


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
