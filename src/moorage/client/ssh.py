"""An engine on another machine, by way of ssh: ``ssh://user@host:port/path``.

The ssh command brings keys, agents, jump hosts and the user's configuration; on the other
machine ``moor system dial-stdio``, or docker's, passes the stream on to the engine.
"""

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from moorage.client.errors import EngineUnreachableError

if TYPE_CHECKING:
    import subprocess

_CONNECT_TIMEOUT: Final = 30
"""Seconds, as in Docker's clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHHost:
    """Where ssh finds an engine.

    Attributes:
        user: Empty for ssh's own choice.
        port: 0 for ssh's own choice.
        path: The engine's socket there; empty for the default one.
    """

    name: str
    user: str = ""
    port: int = 0
    path: str = ""

    @property
    def text(self) -> str:
        """The address as users write it."""
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"ssh://{user}{name}{port}{self.path}"

    def command(self) -> list[str]:
        """Return the words of the ssh command whose standard streams are the engine's."""
        # No pseudo-terminal: it would change the bytes.
        words = ["ssh", "-o", f"ConnectTimeout={_CONNECT_TIMEOUT}", "-T"]
        if self.user:
            words += ["-l", self.user]
        if self.port:
            words += ["-p", str(self.port)]
        # Few clients need it, and every command waits for what is imported.
        from shlex import quote  # noqa: PLC0415

        engine = f"-H {quote('unix://' + self.path)} " if self.path else ""
        there = f"{engine}system dial-stdio"
        script = f"if command -v moor >/dev/null; then exec moor {there}; else exec docker {there}; fi"
        # The user's shell there may be any.
        return [*words, "--", self.name, f"sh -c {quote(script)}"]


class SSHSocket(socket.socket):
    """A socket whose other end is an ssh command, which ends with it."""

    def __init__(self, fd: int, process: "subprocess.Popen[bytes]") -> None:
        """Take over a descriptor, and the process at its other end."""
        super().__init__(fileno=fd)
        self._process = process

    def close(self) -> None:
        """Close the socket and end the command."""
        super().close()
        # By itself it would end only when the engine does.
        self._process.terminate()
        self._process.wait()


def dial(host: SSHHost) -> SSHSocket:
    """Return a stream to the engine of another machine.

    What ssh has to say comes on standard error; where it gets no connection the stream ends
    before an answer.

    Raises:
        EngineUnreachableError: There is no ssh command.
    """
    import subprocess  # noqa: PLC0415

    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            # The terminal's interrupt is for the command that uses the stream: it may want to end it politely.
            process = subprocess.Popen(
                host.command(), stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True
            )
        except OSError as error:
            raise EngineUnreachableError(host.text) from error
        return SSHSocket(ours.detach(), process)
