"""``moor`` against a real daemon: what differs from the docker command is a mistake."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, readable
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

MOOR = [sys.executable, "-c", "from moorage.cli.main import main; main()"]


def moor(daemon: Daemon, *words: str, data: str | None = None) -> subprocess.CompletedProcess[str]:
    # The docker command at hand speaks this version; with a newer one, the same engine shows other fields.
    environment = {**os.environ, "MOORAGE_HOST": f"unix://{daemon.socket}", "DOCKER_API_VERSION": "1.50"}
    environment["DOCKER_CONFIG"] = str(daemon.base)
    return subprocess.run(
        [*MOOR, *words],
        input=data or "",
        capture_output=True,
        text=True,
        env=environment,
        timeout=stretched(60),
        check=False,
    )


def both(daemon: Daemon, *words: str) -> tuple[tuple[str, str, int], tuple[str, str, int]]:
    """Return what docker and moor print for the same words, docker's name replaced."""
    mine, genuine = moor(daemon, *words), daemon.run(*words)
    for _ in range(5):
        if " second" not in genuine.stdout or mine.stdout == genuine.stdout:
            break
        # Between the two, a second may have passed that both tell.
        mine, genuine = moor(daemon, *words), daemon.run(*words)

    def plain(text: str) -> str:
        return text.replace("docker", "moor").strip()

    return (
        (plain(genuine.stdout), plain(genuine.stderr), genuine.returncode),
        (plain(mine.stdout), plain(mine.stderr), mine.returncode),
    )


@pytest.mark.parametrize(
    "words",
    [
        "run --rm busybox sh -c 'echo-out'",
        "run --rm busybox nosuch",
        "run --rm busybox /etc",
        "run --memory abc busybox",
        "rmi -f nosuch",
        "rm -f nosuch",
        "system df -v",
        "system df -v --format {{.Images|len}},{{.Containers|len}},{{.BuildCache|len}}",
        "import ftp://nowhere/x",
        "push --platform linux/amd64 nosuch:1",
        "load --platform linux/arm64 -i nosuch",
        "search --limit 200 x",
        "run --nosuch busybox",
        "run -p abc busybox",
        "run",
        "ps --format {{.Names}}",
        "images --format {{.Repository}}:{{.Tag}}",
        "network ls",
        "volume ls",
        "logs nosuch",
        "port nosuch",
        "exec nosuch true",
        "stop nosuch",
        "rm nosuch",
        "rmi nosuch",
        "tag busybox BAD",
        "inspect --type container nosuch",
        "cp nosuch:/x .",
        "ps --filter x",
        "system df",
        "ps --filter name=nosuch --format {{json .}}",
        "ps -q --format json",
        "network ls --format {{json .Name}}",
        "network ls --format {{.Name",
        "volume ls --format {{json .}}",
        "logs a b",
        "ps x",
        "volume prune x",
        "network create a b",
        "network create --ip-range 10.9.0.0/24 n",
        "network create --subnet 10.9.0.0/24 --gateway 10.8.0.1 n",
        "volume create --name a a",
        "inspect nosuch",
        "inspect -f json nosuch",
        "export -o /nope/x nosuch",
        "login -u a --password-stdin -p b",
        "login --password-stdin",
        "system prune --volumes --filter until=1h -f",
        "run -p 1.2.3:80:80 busybox true",
        "run -e =x busybox true",
        "run --add-host a:b busybox true",
        "run --storage-opt x busybox true",
        "run --health-interval -1s busybox true",
        "run --blkio-weight-device x busybox true",
        "run --device-read-bps /dev/sda:x busybox true",
        "run --device-write-iops /dev/sda:-1 busybox true",
        "run --device-cgroup-rule x busybox true",
        "run --network a --network a busybox true",
        "run --network-alias x busybox true",
        "network create --subnet 10.9.0.0/24,10.8.0.0/24 --gateway 10.9.0.1,10.9.0.2 n",
        "run --disable-content-trust --kernel-memory 1g --rm busybox true",
        "pull --disable-content-trust=false BAD",
        "events --since 1 --until 2 --format {{.Nope",
        "cp a",
        "cp --help",
        "logs --help",
        "stop --help",
        "network create --help",
        "network connect --help",
        "-H tcp://127.0.0.1:1 context show",
        "-l bogus ps",
        "-c nosuch ps",
        "network",
    ],
)
def test_outputs_are_those_of_docker(moord: Daemon, words: str) -> None:
    genuine, mine = both(moord, *words.split())
    assert mine == genuine


def test_listings_of_a_running_container(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "web", "--label", "a=b", "-v", "data:/data", "busybox", "sleep", "1000")
    for words in (
        ["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Image}} {{.Command}} {{.State}} {{.Mounts}} {{.Labels}}"],
        ["ps", "-a", "--format", "{{.Platform}}"],
        ["inspect", "web"],
        ["inspect", "-f", "json", "web"],
        ["inspect", "-f", "{{json .NetworkSettings.Networks}}", "web"],
        ["history", "busybox"],
        ["volume", "inspect", "data"],
        ["network", "inspect", "bridge"],
        ["top", "web", "-o", "pid,comm"],
        ["diff", "web"],
    ):
        genuine, mine = both(moord, *words)
        assert mine == genuine, words
    moord.docker("rm", "-f", "web")
    moord.docker("volume", "rm", "data")


def test_standard_streams_and_the_exit_status(moord: Daemon) -> None:
    done = moor(moord, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo err >&2; exit 7", data="line\n" * 10000)
    assert (done.stdout, done.stderr, done.returncode) == ("line\n" * 10000, "err\n", 7)


def test_a_container_that_cannot_start_leaves_nothing(moord: Daemon, tmp_path: Path) -> None:
    done = moor(moord, "run", "--rm", "--cidfile", str(tmp_path / "id"), "busybox", "nosuch")
    assert done.returncode == 127
    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr
    assert len((tmp_path / "id").read_text()) == 64
    assert moord.docker("ps", "-aq") == ""


def talk(daemon: Daemon, words: list[str], lines: list[bytes]) -> tuple[bytes, int]:
    """Run moor on a terminal, send a line whenever it falls silent, return its output and status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["MOORAGE_HOST"] = f"unix://{daemon.socket}"
        termios.tcsetwinsize(0, (24, 80))
        os.execv(MOOR[0], [*MOOR, *words])  # noqa: S606 - a terminal needs the fork above
    output, quiet_since = b"", time.monotonic()
    deadline = time.monotonic() + stretched(30)
    while time.monotonic() < deadline:
        if readable(fd, seconds=0.05):
            try:
                data = os.read(fd, 4096)
            except OSError:
                break
            if not data:
                break
            output, quiet_since = output + data, time.monotonic()
        elif lines and output and time.monotonic() - quiet_since > 0.3:
            os.write(fd, lines.pop(0))
            quiet_since = time.monotonic()
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return output, os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pty.fork in a process with threads: it execs at once
def test_a_terminal_can_be_left_and_taken_again(moord: Daemon) -> None:
    output, status = talk(moord, ["run", "-it", "--name", "term", "busybox", "sh"], [b"echo $((6*7))\n", b"\x10\x11"])
    assert (b"42" in output, status) == (True, 0)
    output, status = talk(moord, ["exec", "-it", "term", "sh"], [b"tty\n", b"exit 5\n"])
    assert (b"/dev/pts/" in output, status) == (True, 5)
    output, status = talk(moord, ["attach", "term"], [b"exit 4\n"])
    assert status == 4


def test_signals_reach_the_container(moord: Daemon) -> None:
    process = subprocess.Popen(
        [*MOOR, "run", "--rm", "--name", "sig", "busybox", "sh", "-c", "trap 'exit 9' USR1; echo up; sleep 60 & wait"],
        env={**os.environ, "MOORAGE_HOST": f"unix://{moord.socket}"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(20) == 9


def test_files_go_in_and_out(moord: Daemon, tmp_path: Path) -> None:
    moord.docker("run", "-d", "--name", "files", "busybox", "sleep", "1000")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text("content")
    (tree / "link").symlink_to("sub/file")
    assert moor(moord, "cp", str(tree), "files:/copied").returncode == 0
    assert moord.docker("exec", "files", "cat", "/copied/link") == "content"
    assert moor(moord, "cp", "files:/copied/.", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back" / "link").read_text() == "content"
    assert "A /copied/sub/file" in moor(moord, "diff", "files").stdout
    committed = moor(moord, "commit", "-m", "why", "-c", "CMD cat /copied/link", "files", "made:1")
    assert committed.stdout.startswith("sha256:")
    assert moor(moord, "run", "--rm", "made:1").stdout == "content"
    moord.docker("rm", "-f", "files")
    moord.docker("rmi", "made:1")


def test_version_info_and_events(moord: Daemon) -> None:
    assert "Server: Moorage" in moor(moord, "version").stdout
    assert " Storage Driver: overlay" in moor(moord, "info").stdout
    moor(moord, "run", "--rm", "--name", "eventful", "busybox", "true")
    shown = moor(moord, "events", "--since", "1m", "--until", "0s", "-f", "container=eventful").stdout
    actions = [line.split()[2] for line in shown.splitlines()]
    assert actions[0] == "create"
    assert {"start", "die", "destroy"} <= set(actions)


def test_no_daemon_is_said_plainly(tmp_path: Path) -> None:
    done = subprocess.run([*MOOR, "-H", f"unix://{tmp_path}/x.sock", "ps"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"Cannot connect to the Moorage daemon at unix://{tmp_path}/x.sock. Is the moord daemon running?\n"
    )


def test_flags_that_few_engines_need(moord: Daemon) -> None:
    for words, text in (
        ("run --io-maxiops 2 busybox", "QoS maximum IOPs configuration is not supported on linux"),
        ("run --io-maxbandwidth 2m busybox", "QoS maximum bandwidth configuration is not supported on linux"),
        ("volume create --sharing all x", "--sharing is not supported by Moorage"),
        ("images --tree -q", "--quiet is not yet supported with --tree"),
        ("--context nosuch ps", 'context "nosuch": context not found'),
        ("--log-level loud ps", "Unable to parse logging level: loud"),
    ):
        done = moor(moord, *words.split())
        assert done.returncode != 0
        assert text in done.stderr


def test_the_engines_socket_on_standard_streams(moord: Daemon) -> None:
    request = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    done = moor(moord, "system", "dial-stdio", data=request)
    assert done.stdout.startswith("HTTP/1.1 200 OK")
    assert done.stdout.endswith("OK")


def test_a_container_that_may_use_the_engine(moord: Daemon, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"lab:5000": {"auth": "dTpw"}}}')
    script = "test -S /var/run/docker.sock && cat $DOCKER_CONFIG/config.json && stat -c %a $DOCKER_CONFIG"
    done = moor(moord, "--config", str(tmp_path), "run", "--rm", "--use-api-socket", "busybox", "sh", "-c", script)
    assert (done.stdout, done.returncode) == ('{"auths": {"lab:5000": {"auth": "dTpw"}}}700\n', 0), done.stderr


def test_endpoints_of_a_network_in_the_long_form(moord: Daemon) -> None:
    moord.docker("network", "create", "--subnet", "10.78.0.0/24", "long")
    network = "name=long,alias=one,alias=two,ip=10.78.0.9,gw-priority=4,mac-address=02:42:0a:4e:00:09"
    done = moor(moord, "create", "--name", "long", "--network", network, "busybox")
    assert done.returncode == 0, done.stderr
    shown = moord.docker(
        "inspect", "-f", "{{with .NetworkSettings.Networks.long}}{{.Aliases}} {{.MacAddress}}{{end}}", "long"
    )
    assert shown == "[one two] 02:42:0a:4e:00:09"
    moord.docker("rm", "long")
    moord.docker("network", "rm", "long")


def test_images_as_a_tree(moord: Daemon) -> None:
    moord.docker("tag", "busybox", "busybox:other")
    moord.docker("create", "--name", "user", "busybox")
    done = moor(moord, "images", "--tree", "busybox")
    lines = [line.split() for line in done.stdout.splitlines() if line and "Info" not in line]
    header, other, top, branch = lines
    assert header == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "EXTRA"]
    assert (other[0], top[0]) == ("busybox:latest", "busybox:other")
    assert (top[-1], branch[0], branch[-1]) == ("U", "└─", "U")
    assert branch[1].startswith("linux/")
    moord.docker("rm", "user")
    moord.docker("rmi", "busybox:other")


def test_one_label_is_a_column(moord: Daemon) -> None:
    moord.docker("create", "--name", "labelled", "--label", "com.example.my-key=7", "busybox")
    moord.docker("network", "create", "--label", "com.example.my-key=8", "labelled")
    moord.docker("volume", "create", "--label", "com.example.my-key=9", "labelled")
    try:
        for listing in (("ps", "-a"), ("network", "ls"), ("volume", "ls")):
            for form in ('{{.Label "com.example.my-key"}}', 'table {{.Label "com.example.my-key"}}\t{{.Label "none"}}'):
                genuine, mine = both(moord, *listing, "--format", form)
                assert mine == genuine
    finally:
        moord.docker("network", "rm", "labelled")
        moord.docker("volume", "rm", "labelled")


def test_the_id_is_told_although_the_start_fails(moord: Daemon) -> None:
    genuine, mine = both(moord, "run", "-d", "busybox", "nosuch")
    assert (len(mine[0]), mine[1:]) == (len(genuine[0]), genuine[1:])
    assert sorted(moord.docker("ps", "-aq", "--no-trunc").split()) == sorted([genuine[0], mine[0]])


def test_inspect_prints_structs_and_maps_as_docker_does(moord: Daemon) -> None:
    moord.docker("volume", "create", "vol")
    flags = (
        "-p",
        "127.0.0.1:18080:80",
        "--expose",
        "99",
        "-v",
        "vol:/d",
        "-v",
        "/tmp:/t:ro",
        "--restart",
        "on-failure:2",
    )
    moord.docker("run", "-d", "--name", "shown", *flags, "-l", "a=b", "busybox", "sleep", "1000")
    templates = """
        .Mounts .NetworkSettings.Ports .HostConfig.PortBindings .Config.ExposedPorts .HostConfig.RestartPolicy
        .HostConfig.LogConfig .HostConfig.CapAdd .HostConfig.Devices .Config.Labels .Config.Labels.none .Config.Env
        .Config.Volumes .Config.Entrypoint .HostConfig.ExtraHosts
    """
    words = [f"{{{{{one}}}}}" for one in templates.split()]
    words += [
        "{{range .Mounts}}{{.Name}}:{{.Destination}} {{end}}",
        '{{index .Config.Labels "none"}}',
        "{{json .Mounts}}",
    ]
    genuine, mine = both(moord, "inspect", "-f", "|".join(words), "shown")
    assert mine == genuine
    for kind, name, template in (
        ("network", "bridge", "{{.IPAM.Config}} {{.Labels}} {{.Options}}"),
        ("volume", "vol", "{{.Options}} {{.Labels}}"),
        ("image", "busybox", "{{.RootFS}} {{.Config.Cmd}} {{.RepoTags}} {{.Config.ExposedPorts}}"),
    ):
        genuine, mine = both(moord, kind, "inspect", "-f", template, name)
        assert mine == genuine
    moord.docker("rm", "-f", "shown")
    moord.docker("volume", "rm", "vol")


@pytest.fixture
def over_ssh(moord: Daemon, tmp_path: Path) -> dict[str, str]:
    """Return an environment whose ssh runs the command here, as the other machine's shell would."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "moor").write_text(f"#!{sys.executable}\n{MOOR[-1]}\n")
    script = f"""#!/bin/sh
        test "$1 $2 $3 $4 $5" = "-o ConnectTimeout=30 -T -- far-away" || exit 255
        PATH={there}:$PATH DOCKER_HOST=unix://{moord.socket} exec sh -c "$6"
    """
    (tmp_path / "ssh").write_text(script)
    for program in (there / "moor", tmp_path / "ssh"):
        program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "DOCKER_HOST": "ssh://far-away"}


def test_an_engine_is_reached_by_ssh(over_ssh: dict[str, str]) -> None:
    command = [*MOOR, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; exit 3"]
    done = subprocess.run(command, input="typed", env=over_ssh, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("typed", 3)


def test_the_library_reaches_an_engine_by_ssh(over_ssh: dict[str, str]) -> None:
    program = """
import asyncio, moorage
with moorage.connect() as engine:
    print(engine.run("busybox", ["echo", "blocking"]).decode())
async def main():
    async with moorage.connect_async() as engine:
        print((await engine.run("busybox", ["echo", "asynchronous"])).decode())
asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=over_ssh, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == (["blocking", "asynchronous"], "")


def test_an_ssh_that_gets_nowhere_is_told(moord: Daemon) -> None:
    done = subprocess.run(
        [*MOOR, "-H", "ssh://nobody@127.0.0.1:1", "ps"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert re.search("the engine (closed the connection before it answered|broke the connection off)", done.stderr)


def test_shells_complete_words_and_names(moord: Daemon) -> None:
    moord.docker("create", "--name", "stopped", "busybox")
    moord.docker("run", "-d", "--name", "running", "busybox", "sleep", "1000")
    completions = {
        "": {"run", "rm", "volume"},
        "run --net": {"--network", "--network-alias"},
        "stop ": {"running"},
        "start st": {"stopped"},
        "container rm ": {"running", "stopped"},
        "inspect ": set(),
        "run busy": {"busybox:latest"},
        "network inspect br": {"bridge"},
        "volume rm ": set(),
    }
    for typed, wanted in completions.items():
        environment = {
            **os.environ, "MOORAGE_HOST": f"unix://{moord.socket}", "_MOOR_COMPLETE": "bash_complete",
            "COMP_WORDS": f"moor {typed}", "COMP_CWORD": str(len(f"moor {typed}x".split()) - 1),
        }  # fmt: skip
        done = subprocess.run(MOOR, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert wanted <= {line.partition(",")[2] for line in done.stdout.splitlines()}, (typed, done)
        assert wanted or "plain" not in done.stdout


def test_the_script_for_a_shell(moord: Daemon) -> None:
    script = moor(moord, "completion", "bash").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "complete" in script
    assert moor(moord, "completion", "nosuch").returncode == 125
