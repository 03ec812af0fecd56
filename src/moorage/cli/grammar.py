"""Docker's command-line grammar on top of click: late-loaded commands, ``--flag=false``, its error texts."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

import click

from moorage.cli.quantities import InvalidValueError
from moorage.errors import InvalidParameterError, MoorageError

USAGE_STATUS: Final = 125
TEMPLATE_STATUS: Final = 64
"""What a command ends with whose template can't be read."""
Function = TypeVar("Function", bound=Callable[..., Any])
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def boolean(text: str) -> bool | None:
    """Return what Go takes a text for, or None if it is neither true nor false."""
    return True if text in _TRUE else False if text in _FALSE else None


def strings_option(name: str, *, text: str) -> Callable[[Function], Function]:
    """Return the decorator for a flag that can be given several times, and several values at a time.

    Args:
        text: Its help.
    """
    return click.option(name, multiple=True, metavar="strings", callback=_comma_separated, help=text)


def _comma_separated(_: click.Context, __: click.Parameter, values: Iterable[str]) -> tuple[str, ...]:
    import csv  # noqa: PLC0415 - few commands need it

    return tuple(part for value in values if value for part in next(csv.reader([value])))


class FlagValueError(InvalidParameterError):
    """A flag has a value that can't be read; it is answered with the command's usage.

    Args:
        flag: Its names, as Docker lists them: ``-f, --filter``.
    """

    def __init__(self, value: str, reason: str, *, flag: str) -> None:
        super().__init__(f'invalid argument "{value}" for "{flag}" flag: {reason}')


_KINDS: Final = {
    "container": "container",
    "containers": "container",
    "image": "image",
    "reference": "image",
    "references": "image",
    "repository": "image",
    "network": "network",
    "volume": "volume",
}


class _Name(click.types.StringParamType):
    """What an object is called; a shell completes it.

    Args:
        argument: Its name in the command, which tells the kind, or else the command's group does.
    """

    def __init__(self, argument: str) -> None:
        self._argument = argument

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[click.shell_completion.CompletionItem]":
        """Return the names that begin so."""
        del param  # its name is known
        from moorage.cli.completed_names import names  # noqa: PLC0415 - only a shell asks

        group = ctx.parent.info_name if ctx.parent else ""
        kind = _KINDS.get(self._argument) or _KINDS.get(group or "")
        return names(ctx, kind, incomplete) if kind else []


class Command(click.Command):
    """A command whose flags take ``=true`` and ``=false``, as Docker's do.

    Attributes:
        minimum: Fewest arguments.
        maximum: Most arguments; None has no bound.
        usage: What stands behind the command's name in its usage.
    """

    # What is too much is told in Docker's words.
    allow_extra_args = True

    def __init__(
        self, *args: Any, minimum: int = 0, maximum: int | None = None, usage: str = "[OPTIONS]", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.usage = usage
        self.minimum = minimum
        self.maximum = maximum
        for param in self.params:
            if isinstance(param, click.Argument) and param.name in {*_KINDS, "names"} and param.type is click.STRING:
                param.type = _Name(param.name)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what stands behind the command's name in its usage."""
        del ctx  # it is the same in every context
        return [self.usage]

    def get_help(self, ctx: click.Context) -> str:
        """Return the page that ``--help`` prints."""
        from moorage.cli.help_pages import command_page, paths_of  # noqa: PLC0415 - only who asks for help waits

        root, parent = ctx.find_root(), ctx.parent
        aliases: list[str] = []
        if isinstance(root.command, Group) and parent is not None and isinstance(parent.command, Group):
            aliases = paths_of(parent.command.place(ctx.info_name or ""), root.command.tree(root))
        return command_page(ctx, usage=self.usage, aliases=aliases)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite ``--flag=value`` of switches, then parse."""
        switches = {
            name: option
            for option in self.params
            if isinstance(option, click.Option) and option.is_flag and not option.count
            for name in option.opts
        }
        try:
            return super().parse_args(ctx, _plain_switches(args, switches, interspersed=ctx.allow_interspersed_args))
        except click.NoSuchOption as error:
            name = error.option_name
            long = name.startswith("--")
            _refuse(ctx, f"unknown flag: {name}" if long else f"unknown shorthand flag: '{name[-1:]}' in {name}")
        except click.BadOptionUsage as error:
            name = error.option_name
            _refuse(ctx, f"flag needs an argument: {name if name.startswith('--') else f'{name[1:]!r} in {name}'}")
        except InvalidValueError as error:
            # Docker names one long form of a flag that has two.
            flag = ", ".join(error.param.opts[:2]) if error.param is not None else ""
            _refuse(ctx, str(FlagValueError(error.value, error.message, flag=flag)))
        except (click.BadParameter, FlagValueError) as error:
            _refuse(ctx, str(error))

    def invoke(self, ctx: click.Context) -> Any:
        """Check the number of arguments, then run."""
        values = [ctx.params.get(param.name or "") for param in self.params if isinstance(param, click.Argument)]
        given = len(ctx.args) + sum(len(value) if isinstance(value, tuple) else value is not None for value in values)
        if given < self.minimum or (self.maximum is not None and given > self.maximum):
            _wrong_count(ctx, self)
        try:
            return super().invoke(ctx)
        except FlagValueError as error:
            _refuse(ctx, str(error))


def _plain_switches(args: Sequence[str], switches: Mapping[str, click.Option], *, interspersed: bool) -> list[str]:
    plain: list[str] = []
    for position, text in enumerate(args):
        if text == "--" or (not interspersed and not text.startswith("-") and _is_operand(args, position, switches)):
            return [*plain, *args[position:]]
        name, separator, value = text.partition("=")
        option = switches.get(name)
        if option is None or not separator:
            plain.append(text)
        elif value in _TRUE:
            plain.append(name)
        elif value in _FALSE:
            plain += option.secondary_opts[:1]
        else:
            reason = f'strconv.ParseBool: parsing "{value}": invalid syntax'
            raise FlagValueError(value, reason, flag=", ".join(option.opts))
    return plain


def _is_operand(args: Sequence[str], position: int, switches: Mapping[str, click.Option]) -> bool:
    """Whether a word without a dash is an argument rather than the value of the option before it."""
    if position == 0:
        return True
    before = args[position - 1]
    if not before.startswith("-") or before == "-" or "=" in before:
        return True
    if before.startswith("--"):
        return before in switches
    return all(f"-{letter}" in switches for letter in before[1:])


def _refuse(ctx: click.Context, text: str) -> NoReturn:
    path = ctx.command_path
    click.echo(f"{text}\n\nUsage:  {path} {usage_line(ctx)}\n\nRun '{path} --help' for more information", err=True)
    sys.exit(USAGE_STATUS)


def usage_line(ctx: click.Context) -> str:
    """Return what stands behind the command in its usage."""
    return " ".join(ctx.command.collect_usage_pieces(ctx))


def _wrong_count(ctx: click.Context, command: Command) -> NoReturn:
    least, most = command.minimum, command.maximum
    # Docker's words differ by the kind of mistake.
    hint = "See" if most is None else "Run"
    if most == 0:
        wanted = "accepts no arguments"
    elif least == most:
        wanted = f"requires {least} argument{'s' if least != 1 else ''}"
    elif most is None:
        wanted = f"requires at least {least} argument{'s' if least != 1 else ''}"
    elif least == 0:
        wanted = f"requires at most {most} argument{'s' if most != 1 else ''}"
    else:
        wanted = f"requires at least {least} and at most {most} arguments"
    path = ctx.command_path
    click.echo(
        f"{path.partition(' ')[0]}: '{path}' {wanted}\n\nUsage:  {path} {usage_line(ctx)}\n\n"
        f"{hint} '{path} --help' for more information",
        err=True,
    )
    sys.exit(1)


class Group(click.Group):
    """A group that imports a command's module when the command is used, not before."""

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in alphabetical order; of names for one command, the first that was given."""
        first = {place: name for name, place in reversed(self._lazy.items())}
        return sorted(first.values())

    def place(self, name: str) -> str:
        """Return where a command lives, or nothing."""
        return self._lazy.get(name, "")

    @property
    def places(self) -> Mapping[str, str]:
        """Where commands live, by all their names."""
        return self._lazy

    def tree(self, ctx: click.Context) -> list[tuple[str, Mapping[str, str]]]:
        """Return where commands live, by their names, for the path of each group; this one comes last."""
        path = ctx.command_path
        subgroups = [(name, self.get_command(ctx, name)) for name in self._lazy if self.place(name).startswith("main:")]
        below = [(f"{path} {name}", group.places) for name, group in subgroups if isinstance(group, Group)]
        return [*below, (path, self.places)]

    def get_help(self, ctx: click.Context) -> str:
        """Return the page that ``--help`` prints."""
        from moorage.cli.help_pages import group_page  # noqa: PLC0415 - only who asks for help waits

        found = {name: command for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))}
        groups = {name: command for name, command in found.items() if isinstance(command, Group)}
        others = {name: command for name, command in found.items() if name not in groups and not command.hidden}
        sections: dict[str, Mapping[str, click.Command]] = {"Management Commands": groups, "Commands": others}
        return group_page(ctx, {title: commands for title, commands in sections.items() if commands})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own flags; nothing at all is answered with its page."""
        if not args and not ctx.resilient_parsing:
            click.echo(self.get_help(ctx), err=True)
            ctx.exit()
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        place = self._lazy.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"moorage.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what Docker says of an unknown one."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            path = ctx.command_path
            usage = f"Usage:  {path}\n\n" if " " in path else ""
            click.echo(
                f"{path.partition(' ')[0]}: unknown command: {path} {args[0]}\n\n"
                f"{usage}Run '{path} --help' for more information",
                err=True,
            )
            sys.exit(1)
        return super().resolve_command(ctx, args)


def daemon_error(error: MoorageError) -> str:
    """Return the line that Docker prints for an error; it says so if the engine refused."""
    from moorage.client.errors import RefusedError  # noqa: PLC0415 - only when something went wrong

    return f"Error response from daemon: {error}" if isinstance(error, RefusedError) else str(error)
