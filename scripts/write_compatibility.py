#!/usr/bin/env python3
"""Write the generated part of docs/compatibility.md from a run of every probe against a real daemon.

Needs root, the docker command, Debian's docker-registry, busybox and curl; takes a minute or two.

Usage: python scripts/write_compatibility.py [--check] [--only TEXT]
    --check   run nothing: is the page what the facts and limits say?
    --only    run only probes whose subject contains the text, and write nothing
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.compatibility import container_commands, operations, other_commands, run_flags  # noqa: E402
from tests.compatibility.document import BEGINNING, page  # noqa: E402
from tests.compatibility.facts import REFUSED, limits, subjects  # noqa: E402
from tests.compatibility.probing import Bench, Probe  # noqa: E402
from tests.support.daemon import IMAGE, Daemon, daemon, wait_until  # noqa: E402

PAGE = ROOT / "docs" / "compatibility.md"
_REGISTRY = "127.0.0.1:15000"
_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{address}"}}
"""


@contextlib.contextmanager
def registry(made: Daemon) -> Iterator[str]:
    """Have a registry in the daemon's network for a block."""
    with tempfile.TemporaryDirectory() as root:
        config = Path(root) / "config.yml"
        config.write_text(_CONFIG.format(root=root, address=_REGISTRY))
        command = [*made.entering(), "docker-registry", "serve", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: _answers(made), what="the registry")
                yield _REGISTRY
            finally:
                process.terminate()


def _answers(made: Daemon) -> bool:
    try:
        return made.in_network("curl", "-s", f"http://{_REGISTRY}/v2/") != ""
    except subprocess.CalledProcessError:
        return False


def describe_gpu(base: Path) -> Path:
    """Describe a GPU, as its vendor's tools do, that is nothing but a variable; return the directory."""
    directory = base / "cdi"
    directory.mkdir()
    device = {"name": "all", "containerEdits": {"env": ["GPU=described"]}}
    described = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device]}
    (directory / "gpu.json").write_text(json.dumps(described), encoding="utf-8")
    return directory


def fill(made: Daemon, address: str) -> None:
    """Give the registry what probes pull, and the engine no copy of it."""
    for command in ("run", "create"):
        for name in ("pulled", "quiet"):
            made.docker("tag", IMAGE, f"{address}/{name}:{command}")
            made.docker("push", "-q", f"{address}/{name}:{command}")
            made.docker("rmi", f"{address}/{name}:{command}")


def run(only: str) -> Bench:
    """Run the probes and return what they found."""

    def wanted(probes: Iterator[tuple[list[str], Probe]]) -> Iterator[tuple[list[str], Probe]]:
        return (one for one in probes if any(only in subject for subject in one[0]))

    with daemon() as made:
        certificates = other_commands.CERTIFICATES
        made.start(
            "-H", f"tcp://{other_commands.TLS_ADDRESS}", "--tlsverify",
            "--tlscacert", str(certificates / "authority.pem"), "--tlscert", str(certificates / "server.pem"),
            "--tlskey", str(certificates / "server.key"), "--cdi-spec-dir", str(describe_gpu(made.base)),
        )  # fmt: skip
        made.load_busybox()
        with registry(made) as address:
            fill(made, address)
            bench = Bench(made, registry=address)
            run_flags.prepare(bench)
            bench.prove_all(wanted(run_flags.probes()))
            bench.prove_all(wanted(container_commands.probes()))
            bench.prove_all(wanted(other_commands.probes()))
            if not only:
                for story in operations.STORIES:
                    with contextlib.suppress(Exception):  # it is among the failures
                        story(bench)
                operations.refused(bench)
            for named, probe in wanted(other_commands.last_probes()):
                bench.prove(named, probe)
    return bench


def complaints(bench: Bench) -> list[str]:
    """Return what the page would claim and the run did not see."""
    found = limits()
    wrong = [f"{subject}: {text}" for subject, text in bench.failures.items()]
    refused = {subject for subject, limit in found.items() if limit.mark == REFUSED}
    for subject in subjects():
        covered = subject in found or subject.rpartition(" --")[0] in found
        if subject not in bench.probed and subject not in bench.answers and not covered:
            wrong.append(f"{subject}: there is no probe")
    for subject, (status, text) in bench.answers.items():
        if subject not in found:
            wrong.append(f"{subject}: no probe, and no limit says why; it answered {status} {text}")
        elif subject in refused and status < 400:
            wrong.append(f"{subject}: said to be refused, and answered {status}")
    return wrong


def main() -> None:
    """Run, complain or write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    written = text.partition(BEGINNING)[0].rstrip() + "\n\n" + page()
    if options.check:
        if text != written:
            sys.exit(f"{PAGE} is not what the facts say: run scripts/write_compatibility.py")
        return
    start = time.monotonic()
    bench = run(options.only)
    wrong = complaints(bench) if not options.only else [f"{name}: {text}" for name, text in bench.failures.items()]
    sys.stdout.write(f"{len(bench.probed)} subjects probed in {time.monotonic() - start:.0f} s\n")
    if wrong:
        sys.exit("\n".join(["these claims do not hold:", *wrong]))
    if not options.only:
        PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
