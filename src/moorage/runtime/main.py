"""`moor-oci`: the runtime behind runc's command line.

Only the module of the subcommand that is called gets loaded: most calls are short.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from moorage.runtime.interpreter import protect_interpreter
from moorage.runtime.invocation import Invocation, default_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

VERSION: Final = "0.1.0"
COMMANDS: Final = {
    "checkpoint": "checkpoint a running container",
    "create": "create a container",
    "delete": "delete any resources held by one or more containers",
    "events": "display container events such as OOM notifications and resource usage statistics",
    "exec": "execute new process inside the container",
    "features": "show the enabled features",
    "kill": "send the specified signal (default: SIGTERM) to the container's init process",
    "list": "list containers started with the given root",
    "pause": "suspend all processes inside the container",
    "ps": "display the processes running inside a container",
    "restore": "restore a container from a previous checkpoint",
    "resume": "resume all processes that have been previously paused",
    "run": "create and run a container",
    "spec": "create a new specification file",
    "start": "execute the user defined process in a created container",
    "state": "output the state of a container",
    "update": "update container resource constraints",
}
_SWITCH: Final = {"": True, "true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
# These run in a copy of us inside a container for a moment.
_ENTERING: Final = frozenset({"create", "run", "exec"})


class Help(argparse.RawDescriptionHelpFormatter):
    """Help of a fixed width: asking for the terminal's loads modules that no call needs."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


class Parser(argparse.ArgumentParser):
    """A parser that fails as runc does, with exit status 1."""

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse a command line that may have options as Go's parser takes them.

        runc's callers write `-no-subreaper` and `--detach=true` as well.
        """
        rewritten: list[str] = []
        waiting = list(arguments)
        while waiting and waiting[0].startswith("-") and waiting[0] not in {"-", "--"}:
            word, has_value, value = waiting.pop(0).partition("=")
            if word not in self._option_string_actions and f"-{word}" in self._option_string_actions:
                word = f"-{word}"
            action = self._option_string_actions.get(word)
            if action is not None and action.nargs == 0 and value.lower() in _SWITCH:
                rewritten += [word] if _SWITCH[value.lower()] else []
                continue
            rewritten.append(f"{word}{has_value}{value}")
            if action is not None and action.nargs != 0 and not has_value:
                rewritten += waiting[:1]
                del waiting[:1]
        return self.parse_args([*rewritten, *waiting])

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end."""
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not _ENTERING.isdisjoint(given):
        # Before anything else is loaded, which would only have to be loaded again.
        protect_interpreter(given)
    options = _global_parser().parse(given)
    if options.command not in COMMANDS:
        _global_parser().error(f"no such command: {options.command}")
    sys.exit(_run(options))


def _run(options: argparse.Namespace) -> int:
    # After the choice: the modules behind it are most of the start-up time.
    errors = importlib.import_module("moorage.runtime.errors")
    cgroup_errors = importlib.import_module("moorage.cgroups.errors")
    module = importlib.import_module(f"moorage.runtime.commands.{options.command}")
    parser = Parser(prog=f"moor-oci {options.command}", description=COMMANDS[options.command], formatter_class=Help)
    module.configure(parser)
    parsed = parser.parse(options.arguments)
    invocation = Invocation(options)
    try:
        status: int = module.run(parsed, invocation)
    except (errors.StartError, errors.ContainerStateError, cgroup_errors.CgroupError, OSError) as error:
        message = errors.describe(error) if isinstance(error, OSError) else str(error)
        invocation.log.failure(message)
        if invocation.log.is_file:
            sys.stderr.write(f"{message}\n")
        return int(getattr(module, "FAILURE", 1))
    return status


def _global_parser() -> Parser:
    listing = "\n".join(f"  {name:10} {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="moor-oci",
        description="Open Container Initiative runtime",
        epilog=f"commands:\n{listing}",
        formatter_class=Help,
    )
    parser.add_argument("--root", default=default_root(), help="root directory for storage of container state")
    parser.add_argument("--log", default="", help="set the log file to write to (default is stderr)")
    parser.add_argument("--log-format", default="text", choices=("text", "json"), help="set the log format")
    parser.add_argument("--criu", default="criu", help="path to the criu binary used for checkpoint and restore")
    parser.add_argument("--debug", action="store_true", help="enable debug logging")
    parser.add_argument("--systemd-cgroup", action="store_true", help="enable systemd cgroup support")
    parser.add_argument("--cgroup-manager", default="cgroupfs", choices=("cgroupfs", "systemd"), help="as in crun")
    parser.add_argument("--rootless", default="auto", choices=("auto", "true", "false"), help="found out in any case")
    parser.add_argument("-v", "--version", action="version", version=f"moor-oci version {VERSION}\nspec: 1.3.0")
    parser.add_argument("command", metavar="command")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    return parser


if __name__ == "__main__":
    main()
