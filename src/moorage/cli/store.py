"""``moor system fsck`` and ``moor system gc``."""

import sys

import click

from moorage.api import own_endpoints
from moorage.api.checks import CheckFinding, CheckLine, CheckQuery, CheckSummary, CleaningQuery, Outcome
from moorage.api.streams import LineReader
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import human_size
from moorage.client.calls import call


@click.command(cls=Command, maximum=0)
@click.option("--quick", is_flag=True, help="Check names and sizes only, not contents")
@click.option("--contents", is_flag=True, help="Compare every byte of the unpacked layers as well")
@click.option("--repair", is_flag=True, help="Mend what can be mended")
@pass_session
def fsck(session: Session, /, *, quick: bool, contents: bool, repair: bool) -> None:
    """Check the store of images, containers and volumes."""
    lines = LineReader(CheckLine)
    left, error = 1, "the check broke off"
    request = call(own_endpoints.SYSTEM_CHECK, query=CheckQuery(repair=repair, quick=quick, contents=contents))
    with session.connection.begin(request) as exchange:
        for chunk in exchange.checked().chunks():
            for line in lines.feed(chunk):
                if line.finding is not None:
                    click.echo(finding_text(line.finding))
                error = line.error or error
                if line.summary is not None:
                    left, error = line.summary.left, ""
                    click.echo(summary_text(line.summary))
    if error:
        raise click.ClickException(error)
    sys.exit(1 if left else 0)


@click.command(cls=Command, maximum=0)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed")
@pass_session
def gc(session: Session, /, *, dry_run: bool) -> None:
    """Remove unused images, the least recently used first, until the disk is below the low watermark."""
    report = session.perform(call(own_endpoints.SYSTEM_GC, query=CleaningQuery(dry_run=dry_run)))
    for image in report.images:
        names = ", ".join(image.names) or image.id
        click.echo(f"{'would remove' if dry_run else 'removed'} {names} ({human_size(image.size)})")
    click.echo(f"Disk: {report.used_percent}% used, low watermark {report.low_watermark}%")
    click.echo(f"Total {'reclaimable' if dry_run else 'reclaimed'} space: {human_size(report.space_reclaimed)}")


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
