"""``moor system fsck``."""

import sys

import click

from moorage.api import own_endpoints
from moorage.api.checks import CheckFinding, CheckLine, CheckQuery, CheckSummary, Outcome
from moorage.api.streams import LineReader
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call


@click.command(cls=Command, maximum=0)
@click.option("--quick", is_flag=True, help="Check names and sizes only, not contents")
@click.option("--repair", is_flag=True, help="Mend what can be mended")
@click.argument("unexpected", nargs=-1)
@pass_session
def fsck(session: Session, /, *, quick: bool, repair: bool, unexpected: object) -> None:
    """Check the store of images, containers and volumes."""
    del unexpected  # there are none: `maximum` saw to it
    lines = LineReader(CheckLine)
    left = 1
    request = call(own_endpoints.SYSTEM_CHECK, query=CheckQuery(repair=repair, quick=quick))
    with session.connection.begin(request) as exchange:
        for chunk in exchange.checked().chunks():
            for line in lines.feed(chunk):
                if line.finding is not None:
                    click.echo(finding_text(line.finding))
                if line.summary is not None:
                    left = line.summary.left
                    click.echo(summary_text(line.summary))
    sys.exit(1 if left else 0)


def finding_text(finding: CheckFinding) -> str:
    """Return a finding as people read it."""
    mark = {Outcome.FOUND: "", Outcome.MENDED: "mended: ", Outcome.LEFT: "left: "}[finding.outcome]
    text = f"{finding.kind} {finding.subject}: {finding.detail}"
    return f"{text}\n    {mark}{finding.advice}" if finding.advice else text


def summary_text(summary: CheckSummary) -> str:
    """Return the last line of a check."""
    checked = ", ".join(f"{count} {what}" for what, count in summary.checked.items()) or "nothing"
    if not summary.found:
        return f"Checked {checked}: clean"
    return f"Checked {checked}: {summary.found} found, {summary.mended} mended, {summary.left} left"
