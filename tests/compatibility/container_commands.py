"""A probe for each flag of the commands on containers that exist."""

import io
import os
import re
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from tests.compatibility.probing import Bench, Probe, expect
from tests.compatibility.run_flags import TARGET, _limit
from tests.support.daemon import IMAGE


@contextmanager
def container(bench: Bench, *flags: str, script: str = "sleep 600", start: bool = True) -> Iterator[str]:
    """Have a container for a block."""
    name = f"probe-{time.monotonic_ns()}"
    bench.docker("create", "--name", name, *flags, IMAGE, "sh", "-c", script)
    try:
        if start:
            bench.docker("start", name)
        yield name
    finally:
        bench.daemon.run("rm", "-fv", name)


def _state(bench: Bench, name: str) -> str:
    return bench.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")


def _attach(bench: Bench) -> None:
    with container(bench, "-i", script="cat; exit 5") as name:
        done = bench.daemon.run("attach", name, data="typed\n", timeout=40)
        assert (done.stdout, done.returncode) == ("typed\n", 5)


def _attach_without_stdin(bench: Bench) -> None:
    with container(bench, "-i", script="sleep 1; echo late; exit 4") as name:
        done = bench.daemon.run("attach", "--no-stdin", name, timeout=40)
        assert (done.stdout, done.returncode) == ("late\n", 4)


def _attach_signals(bench: Bench) -> None:
    with container(bench, script="trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done") as name:
        bench.wait(lambda: "up" in bench.daemon.run("logs", name).stdout, "the trap")
        client = bench.daemon.popen("attach", "--sig-proxy=false", name)
        time.sleep(0.3)
        client.terminate()
        time.sleep(0.3)
        client.kill()
        assert bench.inspect(name, "{{.State.Running}}") == "true"


def _detach_keys(bench: Bench, *, words: tuple[str, ...], interactive: bool) -> None:
    with container(bench, "-it", script="echo up; sleep 600", start=not interactive) as name:
        _, status = bench.typed(
            *words, "--detach-keys", "ctrl-x,x", *(["-ai"] if interactive else []), name, keys=b"\x18x"
        )
        assert status in {0, 1}
        assert bench.inspect(name, "{{.State.Running}}") == "true"


def _commit(bench: Bench) -> None:
    # Older commands have the flag the other way round.
    pause = "--no-pause" if "--no-pause" in bench.out("commit", "--help") else "--pause=false"
    with container(bench, script="echo data > /made; sleep 600") as name:
        bench.docker("commit", "-a", "me", "-m", "why", "-c", "CMD cat /made", pause, name, "committed:1")
        assert bench.inspect("committed:1", "{{.Author}} {{.Comment}}") == "me why"
        assert bench.out("run", "--rm", "committed:1") == "data"
        bench.docker("rmi", "committed:1")


def _cp(bench: Bench) -> None:
    with container(bench, script="ln -s /etc/passwd /link; sleep 600") as name:
        source = bench.file("copied", "text\n")
        bench.docker("cp", "-q", source, f"{name}:/copied")
        assert bench.out("exec", name, "cat", "/copied") == "text"
        os.chown(source, 1000, 1000)
        bench.docker("cp", "-a", source, f"{name}:/owned")
        assert bench.out("exec", name, "stat", "-c", "%u", "/owned", "/copied").split() == ["1000", "0"]
        bench.wait(lambda: bench.daemon.run("exec", name, "test", "-L", "/link").returncode == 0, "the link")
        bench.docker("cp", "-L", f"{name}:/link", f"{source}-l")
        expect("root:", (bench.files / "copied-l").read_text())


def _diff(bench: Bench) -> None:
    with container(bench, script="touch /made; rm /etc/group; sleep 600") as name:
        bench.wait(lambda: "D /etc/group" in bench.out("diff", name), "the changes")
        expect("^A /made$", bench.out("diff", name))


def _exec(bench: Bench) -> None:
    done = bench.daemon.run("exec", TARGET, "sh", "-c", "echo in; exit 6")
    assert (done.stdout, done.returncode) == ("in\n", 6)
    bench.docker("exec", "-d", TARGET, "touch", "/tmp/detached")
    bench.wait(lambda: bench.daemon.run("exec", TARGET, "test", "-e", "/tmp/detached").returncode == 0, "the file")


def _exec_prints(bench: Bench, *, flags: tuple[str, ...], script: str, prints: str) -> None:
    words = [flag.replace("{files}", str(bench.files)) for flag in flags]
    expect(prints, bench.out("exec", *words, TARGET, "sh", "-c", script))


def _exec_stdin(bench: Bench) -> None:
    assert bench.out("exec", "-i", TARGET, "cat", data="typed\n") == "typed"


def _exec_keys(bench: Bench) -> None:
    with container(bench) as name:
        words = ("exec", "-it", "--detach-keys", "ctrl-x,x", name, "sh", "-c", "echo up; sleep 601")
        bench.typed(*words, keys=b"\x18x", until="up")
        expect("sleep 601", bench.out("top", name))


def _exec_privileged(bench: Bench) -> None:
    plain = bench.out("exec", TARGET, "grep", "CapEff", "/proc/self/status")
    raised = bench.out("exec", "--privileged", TARGET, "grep", "CapEff", "/proc/self/status")
    assert int(raised.split()[1], 16) > int(plain.split()[1], 16)


def _export(bench: Bench) -> None:
    path = bench.files / "exported.tar"
    bench.docker("export", "-o", str(path), TARGET)
    with tarfile.open(path) as archive:
        assert "bin/busybox" in archive.getnames()


def _inspect(bench: Bench) -> None:
    assert bench.out("container", "inspect", "-f", "{{.Name}}", TARGET) == f"/{TARGET}"
    expect(r"^\d+$", bench.out("container", "inspect", "-s", "-f", "{{.SizeRootFs}}", TARGET))


def _kill(bench: Bench) -> None:
    with container(bench, script="trap 'exit 7' USR1; while :; do sleep 0.1; done") as name:
        time.sleep(0.3)
        bench.docker("kill", "-s", "USR1", name)
        assert bench.out("wait", name) == "7"
    with container(bench) as name:
        bench.docker("kill", name)
        assert bench.out("wait", name) == "137"


def _logs(bench: Bench) -> None:
    with container(bench, "--log-opt", "labels=l", "--label", "l=v", script="echo one; sleep 1; echo two") as name:
        assert bench.out("logs", "-f", name) == "one\ntwo"
        assert bench.out("logs", "-n", "1", name) == "two"
        expect(r"^\d{4}-\d\d-\d\dT.*Z one$", bench.out("logs", "-t", name))
        expect("l=v one", bench.out("logs", "--details", name))
        middle = bench.out("logs", "-t", "-n", "1", name).split()[0]
        assert bench.out("logs", "--since", middle, name) == "two"
        assert bench.out("logs", "--until", bench.out("logs", "-t", name).split()[0], name) == "one"


def _ps(bench: Bench) -> None:
    with container(bench, "--label", "ps=probe", start=False) as name:
        bench.docker("start", name)
        bench.docker("stop", "-t", "0", name)
        everything = ("ps", "--filter", "label=ps=probe", "--format", "{{.Names}}")
        assert bench.out(*everything) == ""
        assert bench.out(*everything, "-a") == name
        identity = bench.inspect(name, "{{.Id}}")
        assert bench.out("ps", "-aq", "--filter", "label=ps=probe") == identity[:12]
        assert bench.out("ps", "-aq", "--no-trunc", "--filter", "label=ps=probe") == identity
        assert len(bench.out("ps", "-q", "-n", "1").split()) == 1
        assert len(bench.out("ps", "-q", "-l").split()) == 1
        expect("virtual", bench.out("ps", "-a", "-s", "--filter", "label=ps=probe"))


def _pause(bench: Bench) -> None:
    with container(bench) as name:
        bench.docker("pause", name)
        expect("^paused", _state(bench, name))
        bench.docker("unpause", name)
        expect("^running", _state(bench, name))


def _port(bench: Bench) -> None:
    with container(bench, "-p", "127.0.0.1:18090:80") as name:
        assert bench.out("port", name) == "80/tcp -> 127.0.0.1:18090"


def _prune(bench: Bench) -> None:
    with container(bench, "--label", "prune=probe", start=False) as name:
        identity = bench.inspect(name, "{{.Id}}")
        expect(identity, bench.out("container", "prune", "-f", "--filter", "label=prune=probe"))


def _rename(bench: Bench) -> None:
    with container(bench) as name:
        identity = bench.inspect(name, "{{.Id}}")
        bench.docker("rename", name, f"{name}-new")
        assert bench.inspect(f"{name}-new", "{{.Id}}") == identity
        bench.docker("rename", f"{name}-new", name)


def _restart(bench: Bench) -> None:
    with container(bench, script="trap 'exit 0' USR1; while :; do sleep 0.1; done") as name:
        before = bench.inspect(name, "{{.State.StartedAt}}")
        bench.docker("restart", "-s", "USR1", "-t", "20", name)
        assert bench.inspect(name, "{{.State.StartedAt}} {{.State.Running}}") != f"{before} true"


def _rm(bench: Bench) -> None:
    with container(bench, "-v", "/data") as name:
        volume = bench.inspect(name, "{{(index .Mounts 0).Name}}")
        bench.docker("rm", name, fails=True)
        bench.docker("rm", "-f", "-v", name)
        bench.docker("volume", "inspect", volume, fails=True)


def _rm_link(bench: Bench) -> None:
    with container(bench, "--link", f"{TARGET}:other", start=False) as name:
        bench.docker("rm", "-l", f"{name}/other")
        assert bench.inspect(name, "{{.HostConfig.Links}}") == "[]"


def _start(bench: Bench) -> None:
    with container(bench, "-i", script="cat; exit 8", start=False) as name:
        done = bench.daemon.run("start", "-a", "-i", name, data="typed\n", timeout=40)
        assert (done.stdout, done.returncode) == ("typed\n", 8)


def _start_checkpoint(bench: Bench) -> None:
    with container(bench, start=False) as name:
        done = bench.docker("start", "--checkpoint", "c", "--checkpoint-dir", "/tmp", name, fails=True)
        expect("experimental", done.stderr)


def _stats(bench: Bench) -> None:
    expect(f"^{TARGET} ", bench.out("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", TARGET))
    with container(bench, start=False) as name:
        expect(name, bench.out("stats", "-a", "--no-stream", "--no-trunc", "--format", "{{.Name}} {{.ID}}"))
    identity = bench.inspect(TARGET, "{{.Id}}")
    assert bench.out("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}", TARGET) == identity


def _stop(bench: Bench) -> None:
    with container(bench, script="trap 'exit 9' USR1; while :; do sleep 0.1; done") as name:
        time.sleep(0.3)
        bench.docker("stop", "-s", "USR1", "-t", "20", name)
        assert _state(bench, name) == "exited 9"


def _top(bench: Bench) -> None:
    expect("sleep 600", bench.out("top", TARGET))
    expect("PID", bench.out("top", TARGET, "-o", "pid,args"))


def _update(bench: Bench, *, flags: str, script: str, prints: str, lacking: str = "") -> None:
    with container(bench, "-m", "128m") as name:
        done = bench.daemon.run("update", *flags.split(), name, timeout=40)
        if lacking and (done.returncode != 0 or re.search(lacking, done.stderr + done.stdout)):
            expect(lacking, done.stderr + done.stdout)
            return
        assert done.returncode == 0, done.stderr
        expect(
            prints,
            bench.inspect(name, script) if script.startswith("{{") else bench.out("exec", name, "sh", "-c", script),
        )


def _wait(bench: Bench) -> None:
    with container(bench, script="exit 11") as name:
        assert bench.out("wait", name) == "11"


_EXECS: Final = {
    "--env": (("-e", "A=1"), "echo A is $A", "A is 1"),
    "--env-file": (("--env-file", "{files}/env"), "echo B is $B", "B is 2"),
    "--tty": (("-t",), "tty", "/dev/pts/"),
    "--user": (("-u", "1000"), "id -u", "^1000"),
    "--workdir": (("-w", "/tmp"), "pwd", "^/tmp"),
}
_UPDATES: Final = {
    "--blkio-weight": ("--blkio-weight 300", "{{.HostConfig.BlkioWeight}}", "300", "Block I/O weight|blkio|io.weight"),
    "--cpu-period": ("--cpu-period 50000", "{{.HostConfig.CpuPeriod}}", "50000"),
    "--cpu-quota": ("--cpu-quota 25000", _limit("cpu/cpu.cfs_quota_us", "cpu.max"), "25000"),
    "--cpu-rt-period": (
        "--cpu-rt-period 1000000",
        "{{.HostConfig.CpuRealtimePeriod}}",
        "1000000",
        "real-time|realtime",
    ),
    "--cpu-rt-runtime": (
        "--cpu-rt-runtime 1000",
        "{{.HostConfig.CpuRealtimeRuntime}}",
        "1000",
        "real-time|realtime|rt_runtime",
    ),
    "--cpu-shares": ("-c 512", _limit("cpu/cpu.shares", "cpu.weight"), "^(512|20|59)$"),
    "--cpus": ("--cpus 0.5", _limit("cpu/cpu.cfs_quota_us", "cpu.max"), "50000"),
    "--cpuset-cpus": ("--cpuset-cpus 0", "grep Cpus_allowed_list /proc/1/status", r":\s+0$"),
    "--cpuset-mems": ("--cpuset-mems 0", "grep Mems_allowed_list /proc/1/status", r":\s+0$"),
    "--memory": ("-m 64m", _limit("memory/memory.limit_in_bytes", "memory.max"), "67108864"),
    "--memory-reservation": ("--memory-reservation 32m", "{{.HostConfig.MemoryReservation}}", "33554432"),
    "--memory-swap": ("-m 64m --memory-swap 256m", "{{.HostConfig.MemorySwap}}", "268435456", "swap"),
    "--pids-limit": ("--pids-limit 50", _limit("pids/pids.max", "pids.max"), "^50$"),
    "--restart": ("--restart on-failure:3", "{{.HostConfig.RestartPolicy}}", "on-failure 3"),
}


def _named(command: str, *flags: str) -> list[str]:
    return [f"container {command}", *(f"container {command} {flag}" for flag in flags)]


def probes() -> Iterator[tuple[list[str], Probe]]:
    """Yield the probes; none of them touches another one's containers."""
    yield _named("attach"), _attach
    yield ["container attach --no-stdin"], _attach_without_stdin
    yield ["container attach --sig-proxy"], _attach_signals
    yield ["container attach --detach-keys"], partial(_detach_keys, words=("attach",), interactive=False)
    yield _named("commit", "--author", "--change", "--message", "--no-pause"), _commit
    yield _named("cp", "--archive", "--follow-link", "--quiet"), _cp
    yield _named("diff"), _diff
    yield _named("exec", "--detach"), _exec
    yield ["container exec --detach-keys"], _exec_keys
    yield ["container exec --interactive"], _exec_stdin
    yield ["container exec --privileged"], _exec_privileged
    for flag, (flags, script, prints) in _EXECS.items():
        yield [f"container exec {flag}"], partial(_exec_prints, flags=flags, script=script, prints=prints)
    yield _named("export", "--output"), _export
    yield _named("inspect", "--format", "--size"), _inspect
    yield _named("kill", "--signal"), _kill
    yield _named("logs", "--details", "--follow", "--since", "--tail", "--timestamps", "--until"), _logs
    listing = ("--all", "--filter", "--format", "--last", "--latest", "--no-trunc", "--quiet", "--size")
    yield _named("ls", *listing), _ps
    yield from _life_probes()


def _life_probes() -> Iterator[tuple[list[str], Probe]]:
    yield [*_named("pause"), *_named("unpause")], _pause
    yield _named("port"), _port
    yield _named("prune", "--filter", "--force"), _prune
    yield _named("rename"), _rename
    yield _named("restart", "--signal", "--timeout"), _restart
    yield _named("rm", "--force", "--volumes"), _rm
    yield ["container rm --link"], _rm_link
    yield _named("start", "--attach", "--interactive"), _start
    yield ["container start --detach-keys"], partial(_detach_keys, words=("start",), interactive=True)
    yield ["container start --checkpoint", "container start --checkpoint-dir"], _start_checkpoint
    yield _named("stats", "--all", "--format", "--no-stream", "--no-trunc"), _stats
    yield _named("stop", "--signal", "--timeout"), _stop
    yield _named("top"), _top
    yield ["container update"], partial(_update, flags="-m 64m", script="{{.HostConfig.Memory}}", prints="67108864")
    for flag, (given, script, prints, *lacking) in _UPDATES.items():
        wanted = partial(_update, flags=given, script=script, prints=prints, lacking="".join(lacking))
        yield [f"container update {flag}"], wanted
    yield _named("wait"), _wait


def archive(name: str, text: str) -> bytes:
    """Return a tar archive with one file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()
