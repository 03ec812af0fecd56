"""``moor events``."""

import datetime as dt
import sys
from typing import Any, Final

import click
import msgspec

from moorage.api import endpoints
from moorage.api.events import EventMessage, EventsQuery
from moorage.api.streams import LineReader
from moorage.cli.filters import check_time, parse_filters
from moorage.cli.grammar import TEMPLATE_STATUS, Command
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call
from moorage.templates.rendering import Template
from moorage.templates.tokens import TemplateError

_SECOND: Final = 1_000_000_000
# What Go calls the fields whose names on the wire are not capitalized.
_GO_NAMES: Final = {
    "status": "Status", "id": "ID", "from": "From", "scope": "Scope", "time": "Time", "timeNano": "TimeNano",
}  # fmt: skip


@click.command(cls=Command, maximum=0)
@click.option("-f", "--filter", "filters", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("--since", default="", help="Show all events created since timestamp")
@click.option("--until", default="", help="Stream events until this timestamp")
@pass_session
def events(session: Session, /, *, filters: tuple[str, ...], format_text: str, since: str, until: str) -> None:
    """Get real time events from the server."""
    template = _template(format_text)
    query = EventsQuery(since=check_time(since), until=check_time(until), filters=parse_filters(filters))
    lines = LineReader(EventMessage)

    def show(message: EventMessage) -> None:
        if format_text == "json":
            text = msgspec.json.encode(message, order="deterministic").decode()
        else:
            text = event_line(message) if template is None else template.render(_for_template(message))
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    with session.connection.begin(call(endpoints.SYSTEM_EVENTS, query=query)) as exchange:
        for chunk in exchange.checked().chunks():
            for message in lines.feed(chunk):
                show(message)
        for message in lines.finish():
            show(message)


def _template(text: str) -> Template | None:
    try:
        return Template(text) if text and text != "json" else None
    except TemplateError as error:
        click.echo(f"Error parsing format: {str(error).removeprefix('template parsing error: ')}", err=True)
        sys.exit(TEMPLATE_STATUS)


def _for_template(message: EventMessage) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(message)
    blank = {"Status": "", "ID": "", "From": "", "Scope": "", "Time": 0, "TimeNano": 0}
    return {**blank, **{_GO_NAMES.get(name, name): value for name, value in found.items()}}


def event_line(message: EventMessage) -> str:
    """Return an event as Docker prints it: time, kind, action, object and its attributes."""
    nanoseconds = message.time_nano or message.time * _SECOND
    local = dt.datetime.fromtimestamp(nanoseconds // _SECOND, tz=dt.UTC).astimezone()
    offset = local.strftime("%z")
    zone = "Z" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}"
    moment = f"{local:%Y-%m-%dT%H:%M:%S}.{nanoseconds % _SECOND:09d}{zone}"
    attributes = ", ".join(f"{name}={value}" for name, value in sorted(message.actor.attributes.items()))
    line = f"{moment} {message.type} {message.action} {message.actor.id}"
    return f"{line} ({attributes})" if attributes else line
