"""Log servers for tests: programs that run in a daemon's namespaces and print what they get.

Each prints a line with the representation of every packet, or piece of a stream.
"""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

_PROGRAM: Final = """
import signal, socket, sys
kind, where = sys.argv[1:]
family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET
stream = kind in ("tcp", "deaf", "unix")
server = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
if family == socket.AF_UNIX:
    server.bind(where)
else:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", int(where)))
if stream:
    server.listen(0 if kind == "deaf" else 8)
if kind == "deaf":
    # The queue is then full, and nobody else gets an answer.
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(server.getsockname())
print("listening", flush=True)
while True:
    if kind == "deaf":
        signal.pause()
    if not stream:
        print(repr(server.recv(1 << 17)), flush=True)
        continue
    connection, _ = server.accept()
    while data := connection.recv(1 << 17):
        print(repr(data), flush=True)
"""


def rsyslog_configuration(directory: Path) -> str:
    """Return what makes rsyslogd listen at 5520 (UDP), 5521 (TCP) and 5522 (TLS) and write to `out`."""
    tls = 'StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
    return f"""
global(DefaultNetstreamDriverCAFile="{directory}/cert" DefaultNetstreamDriverCertFile="{directory}/cert"
       DefaultNetstreamDriverKeyFile="{directory}/key")
module(load="imudp") module(load="imptcp") module(load="imtcp" {tls})
input(type="imudp" port="5520") input(type="imptcp" port="5521") input(type="imtcp" port="5522")
template(name="text" type="list") {{
    property(name="pri") constant(value=" ") property(name="app-name") constant(value=" [")
    property(name="msg" droplastlf="on") constant(value="]\\n")
}}
action(type="omfile" file="{directory}/out" template="text" flushOnTXEnd="on")
"""


class LogServer:
    """One server; a context manager.

    Args:
        enter: The command that runs another one in the daemon's namespaces.
        kind: "udp", "tcp", "unix", "unixgram", or "deaf": a port that never accepts a connection.
        where: A port, or a path.
    """

    def __init__(self, enter: Sequence[str], kind: str, where: str) -> None:
        self._process = subprocess.Popen(
            [*enter, sys.executable, "-c", _PROGRAM, kind, where], stdout=subprocess.PIPE, text=True
        )
        assert self._line() == "listening"

    def packet(self) -> bytes:
        """Wait for the next packet and return it."""
        value = ast.literal_eval(self._line())
        assert isinstance(value, bytes)
        return value

    def until(self, text: bytes) -> bytes:
        """Wait for packets until a text has come; return them all, joined."""
        received = b""
        while text not in received:
            received += self.packet()
        return received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
