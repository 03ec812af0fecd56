"""``moor logs``."""

import click

from moorage.api import endpoints
from moorage.api.containers import ContainerLogsQuery
from moorage.cli.filters import check_time
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.cli.streaming import print_stream
from moorage.client.calls import call


@click.command(cls=Command, usage="[OPTIONS] CONTAINER", minimum=1, maximum=1)
@click.option("--details", is_flag=True, help="Show extra details provided to logs")
@click.option("-f", "--follow", is_flag=True, help="Follow log output")
@click.option(
    "--since",
    default="",
    help='Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
)
@click.option("-n", "--tail", default="all", help="Number of lines to show from the end of the logs")
@click.option("-t", "--timestamps", is_flag=True, help="Show timestamps")
@click.option(
    "--until",
    default="",
    help='Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
)
@click.argument("container", required=False)
@pass_session
def logs(session: Session, /, container: str, **flags: str | bool) -> None:
    """Fetch the logs of a container."""
    record = session.perform(call(endpoints.CONTAINER_INSPECT, path={"id": container}))
    query = ContainerLogsQuery(
        stdout=True,
        stderr=True,
        follow=bool(flags["follow"]),
        details=bool(flags["details"]),
        timestamps=bool(flags["timestamps"]),
        since=check_time(str(flags["since"]), flag="since"),
        until=check_time(str(flags["until"]), flag="until"),
        tail=str(flags["tail"]),
    )
    request = call(endpoints.CONTAINER_LOGS, path={"id": record.id}, query=query)
    with session.connection.begin(request) as exchange:
        multiplexed = record.config is None or not record.config.tty
        print_stream(exchange.checked().chunks(), multiplexed=multiplexed)
