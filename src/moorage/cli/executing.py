"""``moor exec``."""

import os
import sys
from typing import Any

import click

from moorage.api import endpoints
from moorage.api.containers import ResizeQuery
from moorage.api.exec import ExecCreateRequest, ExecStartRequest
from moorage.cli import terminal
from moorage.cli.accounts import default_detach_keys
from moorage.cli.attached import converse, following_size, upgrade
from moorage.cli.environment import environment
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call


@click.command(
    "exec",
    cls=Command,
    usage="[OPTIONS] CONTAINER COMMAND [ARG...]",
    minimum=2,
    context_settings={"allow_interspersed_args": False},
)
@click.option("-d", "--detach", is_flag=True, help="Detached mode: run command in the background")
@click.option("--detach-keys", default="", help="Override the key sequence for detaching a container")
@click.option("-e", "--env", multiple=True, help="Set environment variables")
@click.option("--env-file", multiple=True, help="Read in a file of environment variables")
@click.option("-i", "--interactive", is_flag=True, help="Keep STDIN open even if not attached")
@click.option("--privileged", is_flag=True, help="Give extended privileges to the command")
@click.option("-t", "--tty", is_flag=True, help="Allocate a pseudo-TTY")
@click.option("-u", "--user", default="", help='Username or UID (format: "<name|uid>[:<group|gid>]")')
@click.option("-w", "--workdir", default="", help="Working directory inside the container")
@click.argument("container", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_session
def exec_(session: Session, /, container: str, command: tuple[str, ...], **flags: Any) -> None:
    """Execute a command in a running container."""
    detached, tty = flags["detach"], flags["tty"]
    if not detached:
        terminal.require_terminal(interactive=flags["interactive"], tty_wanted=tty)
    request = ExecCreateRequest(
        cmd=list(command),
        attach_stdin=flags["interactive"] and not detached,
        attach_stdout=not detached,
        attach_stderr=not detached,
        detach=detached,
        tty=tty,
        user=flags["user"],
        privileged=flags["privileged"],
        working_dir=flags["workdir"],
        detach_keys=flags["detach_keys"] or default_detach_keys(),
        env=environment(flags["env"], flags["env_file"], own=os.environ),
        console_size=terminal.size() if tty else None,
    )
    identity = session.perform(call(endpoints.CONTAINER_EXEC, path={"id": container}, body=request)).id
    start = call(endpoints.EXEC_START, path={"id": identity}, body=ExecStartRequest(detach=detached, tty=tty))
    if detached:
        with session.connection.begin(start) as exchange:
            exchange.checked()
        return
    exchange = upgrade(session, start)

    def resize(rows: int, columns: int) -> None:
        session.perform(
            call(endpoints.EXEC_RESIZE, path={"id": identity}, query=ResizeQuery(h=str(rows), w=str(columns)))
        )

    with following_size(resize, tty=tty):
        converse(exchange, stdin=flags["interactive"], tty=tty)
    sys.exit(session.perform(call(endpoints.EXEC_INSPECT, path={"id": identity})).exit_code or 0)
