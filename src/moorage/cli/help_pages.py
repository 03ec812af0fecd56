"""What ``--help`` prints, in the form of Docker's pages."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import click

_WIDTH: Final = 79
_NARROWEST_COMMANDS: Final = 10
_NARROWEST_TEXT: Final = 24
_SLACK: Final = 5


def command_page(ctx: click.Context, *, usage: str, aliases: Sequence[str]) -> str:
    """Return the page of a command.

    Args:
        usage: What stands behind the command's path.
        aliases: All paths of the command; one alone is not worth a word.
    """
    path = ctx.command_path
    parts = [f"Usage:  {path} {usage}".rstrip(), _description(ctx.command)]
    if len(aliases) > 1:
        parts.append(f"Aliases:\n  {', '.join(aliases)}")
    if options := _options(ctx.command):
        parts.append("Options:\n" + "\n".join(options))
    return "\n\n".join(parts)


def group_page(ctx: click.Context, sections: Mapping[str, Mapping[str, click.Command]]) -> str:
    """Return the page of a group: its commands by the titles of its sections, and its own options."""
    path = ctx.command_path
    options = _options(ctx.command)
    width = max([_NARROWEST_COMMANDS, *(len(name) for commands in sections.values() for name in commands)])
    parts = [f"Usage:  {path} {'[OPTIONS] ' if options else ''}COMMAND", _description(ctx.command)]
    for title, commands in sections.items():
        lines = [f"  {name.ljust(width)}  {summary(command)}" for name, command in commands.items()]
        parts.append("\n".join([f"{title}:", *lines]))
    if options:
        parts.append("Global Options:\n" + "\n".join(options))
    parts.append(f"Run '{path} COMMAND --help' for more information on a command.")
    return "\n\n".join(parts)


def summary(command: click.Command) -> str:
    """Return the first sentence of a command's help, without its end."""
    return _paragraphs(command)[0].removesuffix(".")


def _paragraphs(command: click.Command) -> list[str]:
    return inspect.cleandoc(command.help or "").split("\n\n")


def _description(command: click.Command) -> str:
    return "\n\n".join([summary(command), *_paragraphs(command)[1:]])


def _options(command: click.Command) -> list[str]:
    shown = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    shown.sort(key=_long_name)
    rows = [(_flag(option), f"{option.help or ''}{_default(option)}".strip()) for option in shown]
    width = max((len(flag) for flag, _ in rows), default=0)
    return [line for flag, text in rows for line in _row(flag.ljust(width), text)]


def _row(flag: str, text: str) -> Iterator[str]:
    indent = len(flag) + 3
    first, *others = _lines(text, max(_WIDTH - indent, _NARROWEST_TEXT))
    yield f"{flag}   {first}".rstrip()
    yield from (" " * indent + line for line in others)


def _lines(text: str, width: int) -> list[str]:
    """Return a text in lines; the last may be wider than those before it, so that no short word stands alone."""
    found: list[str] = []
    while len(text) > width and (end := text.rfind(" ", 0, width - _SLACK)) > 0:
        found.append(text[:end])
        text = text[end + 1 :]
    return [*found, text]


def _long_name(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--"))


def _flag(option: click.Option) -> str:
    short = next((name for name in option.opts if not name.startswith("--")), "")
    long = _long_name(option)
    names = f"  {short}, {long}" if short else f"      {long}"
    kind = "" if option.is_flag else f" {_kind(option)}"
    return names + kind


def _kind(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if option.multiple:
        return "filter" if option.name == "filters" else "list"
    return "string" if option.type is click.STRING else option.type.name.lower()


def _default(option: click.Option) -> str:
    value = option.default
    if option.metavar == "map":
        return " (default map[])"
    if option.is_flag:
        return " (default true)" if value is True else ""
    if isinstance(value, str) and value:
        return f' (default "{value}")'
    if isinstance(value, int) and value:
        return f" (default {value})"
    return ""


def paths_of(place: str, groups: Iterable[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Return the paths under which a command can be reached, those in groups first.

    Args:
        place: Where the command lives.
        groups: Places by name, for the path of each group.
    """
    return [f"{path} {name}" for path, places in groups for name, found in places.items() if found == place]
