"""``moor system dial-stdio``: the engine's socket on standard input and output, as SSH hosts need it."""

import os
import select
import sys
from typing import Final

import click

from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.connection import open_socket

_CHUNK: Final = 64 * 1024


@click.command("dial-stdio", cls=Command, usage="", maximum=0, hidden=True)
@pass_session
def dial_stdio(session: Session, /) -> None:
    """Proxy the stdio stream to the daemon connection. Should not be invoked manually."""
    import socket  # noqa: PLC0415 - few commands need it

    with open_socket(session.connection.address) as engine:
        source, target = sys.stdin.fileno(), sys.stdout.fileno()
        # A regular file or a closed stream is always readable, which select tells too.
        waiting = [engine, source]
        while engine in waiting:
            ready, _, _ = select.select(waiting, [], [])
            if source in ready:
                if data := os.read(source, _CHUNK):
                    engine.sendall(data)
                else:
                    waiting.remove(source)
                    engine.shutdown(socket.SHUT_WR)
            if engine in ready:
                if not (data := engine.recv(_CHUNK)):
                    return
                while data:
                    data = data[os.write(target, data) :]
