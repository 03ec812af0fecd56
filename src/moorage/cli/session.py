"""What every command shares: the connection, printing, and starting an engine where none runs."""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from moorage.cli.grammar import daemon_error
from moorage.client.address import DEFAULT_HOST, Address
from moorage.client.calls import Call
from moorage.client.connection import Connection
from moorage.client.contexts import DEFAULT_CONTEXT, TLSChoice, chosen_address, current_context, pinned_version
from moorage.client.errors import EngineUnreachableError
from moorage.errors import MoorageError, NotFoundError

ResultT = TypeVar("ResultT")

# A process that lives is starting: slow machines and a first start, which compiles everything, take
# their time. The limit is there for one that hangs.
_START_TIMEOUT: Final = 300.0
_START_IS_LONG: Final = 10.0
_POLL: Final = 0.02


class Session:
    """One run of ``moor``."""

    def __init__(self, host: str | None, *, context: str = "", tls: TLSChoice | None = None) -> None:
        self._host = host
        self._context = context
        self._tls = tls
        self._connection: Connection | None = None

    @property
    def context(self) -> str:
        """The name of the context in use, whether or not there is one of this name.

        Raises:
            MoorageError: The command line contradicts itself, or the user's settings can't be read.
        """
        return current_context(self._host, context=self._context)

    @property
    def default_address(self) -> Address:
        """The address of the default context: what the command line and the environment say.

        Raises:
            MoorageError: It can't be read.
        """
        return chosen_address(self._host, context="" if self._host else DEFAULT_CONTEXT, tls=self._tls)

    @property
    def connection(self) -> Connection:
        """The connection to the engine; the engine is started if it may and must be."""
        if self._connection is None:
            try:
                address = chosen_address(self._host, context=self._context, tls=self._tls)
            except NotFoundError as error:
                error.args = (f"Failed to initialize: {error}",)
                raise
            connection = Connection(address, pinned=pinned_version())
            try:
                connection.version()
            except EngineUnreachableError:
                if not _may_start(connection.address):
                    raise
                start_engine(connection)
            self._connection = connection
        return self._connection

    def perform(self, request: Call[ResultT]) -> ResultT:
        """Make a call and return its result.

        Raises:
            MoorageError: The engine refused.
        """
        return self.connection.perform(request)

    def for_each(
        self, names: Iterable[str], act: Callable[[str], Any], *, summary: str = "", missing_ok: bool = False
    ) -> None:
        """Act on each name; one that fails is reported and does not stop the others.

        The process exits with status 1 if any failed. What `act` returns is printed.

        Args:
            summary: Printed at the end with the names that failed.
            missing_ok: What is not there is reported, but is no failure.
        """
        failed: list[str] = []
        for name in names:
            try:
                printed = act(name)
            except MoorageError as error:
                if not (missing_ok and isinstance(error, NotFoundError)):
                    failed.append(name)
                click.echo(daemon_error(error), err=True)
            else:
                if printed is not None:
                    click.echo(printed)
        if failed:
            if summary:
                click.echo(f"Error: {summary}: {', '.join(failed)}", err=True)
            sys.exit(1)


def _may_start(address: Address) -> bool:
    return address.text == DEFAULT_HOST and os.geteuid() == 0


def start_engine(connection: Connection) -> None:
    """Start a moord on the default socket and wait until it answers.

    Several commands may find no engine at once: a lock lets one start it.

    Raises:
        EngineUnreachableError: It did not come up.
    """
    import subprocess  # noqa: PLC0415 - every command imports this module, and few start an engine

    directory = Path(connection.address.path).parent
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _answers(connection):
            return
        click.echo("moor: no engine is running, starting moord", err=True)
        log = directory / "moord.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*_daemon_command()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
        if _comes_up(connection, ended=lambda: process.poll() is not None, log=log):
            return
    click.echo(f"moor: moord did not start; its log is {log}", err=True)
    raise EngineUnreachableError(connection.address.text)


def _comes_up(connection: Connection, *, ended: Callable[[], bool], log: Path) -> bool:
    began = time.monotonic()
    told = False
    while (passed := time.monotonic() - began) < _START_TIMEOUT and not ended():
        if _answers(connection):
            return True
        if passed > _START_IS_LONG and not told:
            click.echo(f"moor: moord is still starting; its log is {log}", err=True)
            told = True
        time.sleep(_POLL)
    return False


def _daemon_command() -> list[str]:
    beside = Path(sys.argv[0]).resolve().parent / "moord"
    import shutil  # noqa: PLC0415 - as above

    found = str(beside) if beside.exists() else shutil.which("moord")
    return [found] if found else [sys.executable, "-m", "moorage.daemon.main"]


def _answers(connection: Connection) -> bool:
    try:
        connection.version()
    except EngineUnreachableError:
        return False
    return True


pass_session = click.make_pass_decorator(Session)
