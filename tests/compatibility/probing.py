"""Run probes against a real daemon and remember how they ended."""

import concurrent.futures
import os
import pty
import re
import select
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tests.support.daemon import IMAGE, Daemon, wait_until

_WORKERS: Final = 4
_PATIENCE: Final = 40.0

Done = subprocess.CompletedProcess[str]
Probe = Callable[["Bench"], None]


class Bench:
    """A daemon, what probes need beside it, and what they found.

    Attributes:
        failures: By subject, how a probe failed; a subject without any has worked.
        answers: Of operations without a probe: the status, and the text of the refusal.
    """

    def __init__(self, daemon: Daemon, *, registry: str) -> None:
        self.daemon = daemon
        self.registry = registry
        self.files = Path(tempfile.mkdtemp(dir=daemon.base))
        self.failures: dict[str, str] = {}
        self.probed: set[str] = set()
        self.answers: dict[str, tuple[int, str]] = {}

    def docker(self, *words: str, data: str | None = None, fails: bool = False) -> Done:
        """Run the docker command and insist on how it ends."""
        done = self.daemon.run(*words, data=data, timeout=_PATIENCE)
        assert (done.returncode != 0) == fails, (
            f"docker {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def out(self, *words: str, data: str | None = None) -> str:
        """Run the docker command and return what it prints."""
        return self.docker(*words, data=data).stdout.strip()

    def inspect(self, name: str, template: str) -> str:
        """Return a field of an object."""
        return self.out("inspect", "-f", template, name)

    def file(self, name: str, text: str = "") -> str:
        """Write a file and return its path."""
        path = self.files / name
        path.write_text(text)
        return str(path)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition."""
        wait_until(condition, what=what, seconds=_PATIENCE)

    def started(self, *flags: str, name: str, script: str = "sleep 600") -> str:
        """Start a container in the background and return its name."""
        self.docker("run", "-d", "--name", name, *flags, IMAGE, "sh", "-c", script)
        return name

    def typed(self, *words: str, keys: bytes, until: str = "") -> tuple[str, int]:
        """Run the docker command on a terminal, type keys once it has printed `until`; return output and status."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ.update(DOCKER_HOST=f"unix://{self.daemon.socket}", DOCKER_CONFIG=str(self.daemon.base))
            os.execvp("docker", ["docker", *words])  # noqa: S606 - a terminal needs the fork above
        output, sent = b"", False
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    data = os.read(terminal, 4096)
                except OSError:
                    break
                if not data:
                    break
                output += data
            if not sent and re.search(until.encode(), output):
                os.write(terminal, keys)
                sent = True
        os.close(terminal)
        return output.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def prove(self, subjects: Iterable[str], probe: Probe) -> None:
        """Run a probe and write down that it stands for these subjects."""
        named = list(subjects)
        try:
            probe(self)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the claim does not hold
            for subject in named:
                self.failures[subject] = f"{type(error).__name__}: {error} {_place(error)}"
        self.probed.update(named)

    def prove_all(self, probes: Iterable[tuple[Iterable[str], Probe]]) -> None:
        """Run probes that do not touch each other, a few at a time."""
        with concurrent.futures.ThreadPoolExecutor(_WORKERS) as pool:
            for subjects, probe in probes:
                pool.submit(self.prove, subjects, probe)


def _place(error: BaseException) -> str:
    """Return the line at which a probe gave up; an assertion alone says nothing."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "compatibility" in frame.filename]
    return f"({Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line})"


def expect(pattern: str, text: str) -> None:
    """Insist that a text has a pattern."""
    assert re.search(pattern, text, re.MULTILINE), f"{pattern!r} is not in {text!r}"
