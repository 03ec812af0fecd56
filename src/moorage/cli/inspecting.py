"""``moor inspect`` of every kind of object."""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
import msgspec

from moorage.api import endpoints
from moorage.api.containers import ContainerInspectQuery
from moorage.api.endpoint import Endpoint
from moorage.api.images import ImageInspectQuery
from moorage.api.networks import NetworkInspectQuery
from moorage.api.query import Query
from moorage.cli.grammar import TEMPLATE_STATUS, Command, daemon_error
from moorage.cli.platforms import platform_parameter
from moorage.cli.session import Session, pass_session
from moorage.cli.typed_values import typed
from moorage.client.calls import call
from moorage.client.errors import error_for
from moorage.errors import InvalidParameterError, MoorageError, NotFoundError
from moorage.templates.functions import to_json
from moorage.templates.rendering import Template
from moorage.templates.tokens import TemplateError

_KINDS: Final[Mapping[str, tuple[Endpoint[Any, Any, Any], str]]] = {
    "container": (endpoints.CONTAINER_INSPECT, "id"),
    "image": (endpoints.IMAGE_INSPECT, "name"),
    "network": (endpoints.NETWORK_INSPECT, "id"),
    "volume": (endpoints.VOLUME_INSPECT, "name"),
}


class UnknownTypeError(InvalidParameterError):
    """``--type`` names no kind of object."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object as the engine wrote it, and the model of its kind."""

    raw: Any
    model: Any = Any

    def render(self, template: Template) -> str:
        """Return what a template makes of it."""
        try:
            return template.render(typed(self.raw, self.model))
        except TemplateError:
            # The engine may have more to say than the model knows.
            return template.render(self.raw)


def _fetch(session: Session, kind: str, name: str, query: Query | None = None) -> Found:
    endpoint, parameter = _KINDS[kind]
    with session.connection.begin(call(endpoint, path={parameter: name}, query=query)) as exchange:
        status, body = exchange.head().status, exchange.body()
    if status >= 400:
        raise error_for(status, body)
    return Found(msgspec.json.decode(body), endpoint.result)


def _template(text: str) -> Template | None:
    try:
        return Template(text) if text and text != "json" else None
    except TemplateError as error:
        click.echo(str(error), err=True)
        sys.exit(TEMPLATE_STATUS)


def show_found(names: Sequence[str], fetch: Callable[[str], Found], *, format_text: str) -> None:
    """Print objects as one JSON list, or each by a template; report those that are missing."""
    template = _template(format_text)
    found: list[Any] = []
    failures: list[str] = []
    for name in names:
        try:
            value = fetch(name)
            if template is not None:
                click.echo(value.render(template))
            found.append(value.raw)
        except MoorageError as error:
            prefix = "template parsing error: " if isinstance(error, TemplateError) else ""
            failures.append(f"{prefix}{daemon_error(error)}")
    if format_text == "json":
        click.echo(to_json(found))
    elif not format_text:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=4).decode())
    for failure in failures:
        click.echo(failure, err=True)
    if failures:
        sys.exit(1)


class _NoSuchObjectError(NotFoundError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Error: No such object: {name}")


@click.command(cls=Command, usage="[OPTIONS] NAME|ID [NAME|ID...]", minimum=1)
@click.option("-f", "--format", "format_text", default="", help="Format output using a custom template")
@click.option("-s", "--size", is_flag=True, help="Display total file sizes if the type is container")
@click.option("--type", "kind", default="", help="Only inspect objects of the given type")
@click.argument("names", nargs=-1)
@pass_session
def inspect(session: Session, /, names: tuple[str, ...], *, format_text: str, size: bool, kind: str) -> None:
    """Return low-level information on Moorage objects."""
    if kind and kind not in _KINDS:
        known = ", ".join(f'"{name}"' for name in _KINDS)
        raise UnknownTypeError(f'unknown type: "{kind}": must be one of {known}')

    def fetch(name: str) -> Found:
        for candidate in [kind] if kind else _KINDS:
            try:
                query = ContainerInspectQuery(size=True) if size and candidate == "container" else None
                return _fetch(session, candidate, name, query)
            except NotFoundError:
                if kind:
                    raise
        raise _NoSuchObjectError(name)

    show_found(names, fetch, format_text=format_text)


def _typed(kind: str, text: str, option: Callable[[Any], Any], query: Callable[[Any], Query | None]) -> click.Command:
    """Return the command for one kind, with the one flag that it has beside `--format`."""
    name = kind.upper()

    @click.command("inspect", cls=Command, usage=f"[OPTIONS] {name} [{name}...]", minimum=1, help=text)
    @click.option("-f", "--format", "format_text", default="", help="Format output using a custom template")
    @option
    @click.argument("names", nargs=-1)
    @pass_session
    def command(session: Session, /, names: tuple[str, ...], *, format_text: str, own: Any) -> None:
        asked = query(own)
        show_found(names, lambda name: _fetch(session, kind, name, asked), format_text=format_text)

    return command


def _no_option(function: Any) -> Any:
    def without(*arguments: Any, **flags: Any) -> Any:
        return function(*arguments, own=None, **flags)

    return functools.update_wrapper(without, function)


container_inspect = _typed(
    "container",
    "Display detailed information on one or more containers",
    click.option("-s", "--size", "own", is_flag=True, help="Display total file sizes"),
    lambda size: ContainerInspectQuery(size=True) if size else None,
)
image_inspect = _typed(
    "image",
    "Display detailed information on one or more images",
    click.option("--platform", "own", default="", help="Inspect a specific platform of the multi-platform image"),
    lambda platform: ImageInspectQuery(platform=platform_parameter(platform)) if platform else None,
)
network_inspect = _typed(
    "network",
    "Display detailed information on one or more networks",
    click.option("-v", "--verbose", "own", is_flag=True, help="Verbose output for diagnostics"),
    lambda verbose: NetworkInspectQuery(verbose=True) if verbose else None,
)
volume_inspect = _typed("volume", "Display detailed information on one or more volumes", _no_option, lambda _: None)
