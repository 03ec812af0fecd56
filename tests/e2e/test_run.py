"""`docker run` with the real command line: outputs, exit codes, texts."""

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


def test_output_and_exit_code(moord: Daemon) -> None:
    done = moord.run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)


def test_standard_input_ends(moord: Daemon) -> None:
    assert moord.docker("run", "--rm", "-i", "busybox", "cat", data="hello\n" * 20000) == ("hello\n" * 20000).strip()


def test_a_terminal(moord: Daemon) -> None:
    assert moord.docker("run", "--rm", "-t", "busybox", "tty") == "/dev/pts/0"


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("/no/such", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "is a directory"),
    ],
)
def test_commands_that_cannot_be_run(moord: Daemon, command: str, code: int, text: str) -> None:
    done = moord.run("run", "--name", "broken", "busybox", command)
    assert done.returncode == code
    assert text in done.stderr
    state = moord.inspect("broken", ".State.Status}} {{.State.ExitCode")
    assert state == f"created {code}"
    assert moord.run("run", "--rm", "--name", "gone", "busybox", command).returncode == code
    assert moord.docker("ps", "-aq", "-f", "name=gone") == ""


def test_environment_user_directory_and_names(moord: Daemon) -> None:
    output = moord.docker(
        "run", "--rm", "-e", "A=b", "-w", "/made/here", "-u", "user", "--hostname", "host.domain",
        "--add-host", "other:10.1.2.3", "busybox", "sh", "-c", "echo $A $PWD $HOME; id; hostname; cat /etc/hosts",
    )  # fmt: skip
    assert output.startswith("b /made/here /tmp\nuid=1000(user) gid=1000(user)")
    assert "2000(extra)" in output
    assert "10.1.2.3\tother" in output
    assert "host.domain host" in output


def test_limits_reach_the_kernel(moord: Daemon) -> None:
    output = moord.docker(
        "run", "--rm", "--ulimit", "nofile=100:200", "--memory", "64m", "--pids-limit", "50", "--shm-size", "1m",
        "busybox", "sh", "-c", "ulimit -n; ulimit -Hn; df -k /dev/shm | tail -1",
    )  # fmt: skip
    assert output.splitlines()[:2] == ["100", "200"]
    assert " 1024 " in output


def test_memory_that_runs_out(moord: Daemon) -> None:
    moord.run("run", "--name", "eater", "--memory", "16m", "busybox", "tail", "/dev/zero")
    assert moord.inspect("eater", ".State.ExitCode}} {{.State.OOMKilled") == "137 true"


def test_files_of_an_image_are_not_changed(moord: Daemon) -> None:
    moord.docker("run", "--rm", "busybox", "rm", "/etc/passwd")
    assert "root" in moord.docker("run", "--rm", "busybox", "cat", "/etc/passwd")
    assert moord.run("run", "--rm", "--read-only", "busybox", "touch", "/x").returncode == 1


def test_volumes(moord: Daemon) -> None:
    moord.docker("run", "--rm", "-v", "data:/etc", "-v", "/anonymous", "busybox", "sh", "-c", "echo x > /etc/mine")
    assert moord.docker("run", "--rm", "-v", "data:/d:ro", "busybox", "cat", "/d/mine") == "x"
    # What the image has at the mount point was copied into the new volume.
    assert "root" in moord.docker("run", "--rm", "-v", "data:/d", "busybox", "cat", "/d/passwd")
    assert moord.run("run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/x").returncode == 1
    assert moord.docker("volume", "ls", "-q") == "data"
    moord.docker("volume", "rm", "data")


def test_a_bind_mount_needs_its_source(moord: Daemon) -> None:
    done = moord.run("run", "--rm", "--mount", "type=bind,src=/no/such,dst=/x", "busybox", "true")
    assert done.returncode == 125
    assert "bind source path does not exist: /no/such" in done.stderr


def test_published_ports(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "web", "-p", "8000:80", "busybox", "sh", "-c", "echo hi > /i; httpd -f -h /")
    assert "0.0.0.0:8000" in moord.docker("port", "web")
    assert moord.in_network("busybox", "wget", "-qO-", "http://127.0.0.1:8000/i") == "hi\n"
    done = moord.run("run", "--name", "second", "-p", "8000:80", "busybox", "true")
    assert done.returncode == 125
    assert "Bind for 0.0.0.0:8000 failed: port is already allocated" in done.stderr
    assert moord.inspect("second", ".State.Status") == "created"


@pytest.mark.parametrize("mode", ["none", "host", "bridge"])
def test_network_modes(moord: Daemon, mode: str) -> None:
    devices = moord.docker("run", "--rm", "--network", mode, "busybox", "ip", "-o", "link")
    assert ("eth0" in devices) == (mode == "bridge")
    assert ("moortest0" in devices) == (mode == "host")


def test_a_shared_network(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "first", "busybox", "sleep", "100")
    own, other = (
        moord.docker("exec", "first", "ip", "-o", "addr"),
        moord.docker("run", "--rm", "--network", "container:first", "busybox", "ip", "-o", "addr"),
    )
    assert own == other


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-m", "4m"], "Minimum memory limit allowed is 6MB"),
        (["--cpus", "1000"], "range of CPUs is from 0.01 to"),
        (["--rm", "--restart", "always"], "--restart and --rm"),
        (["--name", "x"], "Invalid container name (x)"),
        (["--network", "nosuch"], "network nosuch not found"),
        (["--runtime", "nosuch"], "unknown or invalid runtime name: nosuch"),
        (["--log-driver", "nosuch"], 'plugin "nosuch" not found'),
        (["--gpus", "all"], 'could not select device driver "" with capabilities: [[gpu]]'),
    ],
)
def test_refusals(moord: Daemon, options: list[str], text: str) -> None:
    done = moord.run("run", *options, "busybox", "true")
    assert done.returncode == 125
    assert text in done.stderr
    assert moord.docker("ps", "-aq", "-f", "status=running") == ""


def test_a_name_is_taken_once(moord: Daemon) -> None:
    first = moord.docker("create", "--name", "taken", "busybox")
    done = moord.run("create", "--name", "taken", "busybox")
    assert f'The container name "/taken" is already in use by container "{first}"' in done.stderr


def test_an_image_without_a_command(moord: Daemon) -> None:
    moord.docker("import", str(moord.base / "empty.tar"), "empty", check=False)
    (moord.base / "empty.tar").write_bytes(bytes(1024))
    moord.docker("import", str(moord.base / "empty.tar"), "empty")
    done = moord.run("create", "empty")
    assert "no command specified" in done.stderr


def test_the_domain_is_no_part_of_the_host_name(moord: Daemon) -> None:
    look = "cat /etc/hostname /proc/sys/kernel/hostname /proc/sys/kernel/domainname; grep -o web.* /etc/hosts"
    seen = moord.docker("run", "--rm", "--hostname", "web", "--domainname", "lab", "busybox", "sh", "-c", look)
    assert seen.splitlines() == ["web", "web", "lab", "web.lab web"]


def test_a_chain_of_shared_namespaces(moord: Daemon) -> None:
    sleep = ("busybox", "sleep", "100")
    moord.docker("run", "-d", "--name", "first", "--hostname", "one", "--ipc", "shareable", *sleep)
    # Whoever joins one that has joined another is where that one is.
    for name, joined in (("second", "first"), ("third", "second")):
        modes = [f"--{kind}=container:{joined}" for kind in ("network", "ipc", "pid")]
        moord.docker("run", "-d", "--name", name, *modes, *sleep)
    moord.docker("exec", "first", "sh", "-c", "echo shared > /dev/shm/file; echo 10.9.8.7 added >> /etc/hosts")
    look = "hostname; cat /etc/hostname; echo $HOSTNAME; cat /dev/shm/file; grep -c added /etc/hosts; ls -d /proc/1"
    seen = {moord.docker("exec", name, "sh", "-c", look) for name in ("first", "second", "third")}
    assert seen == {"one\none\none\nshared\n1\n/proc/1"}
    assert moord.docker("cp", "third:/etc/hosts", "-").count("added") == 1
    # Inspect shows the name and the files that it has there.
    shown = {moord.inspect(name, ".Config.Hostname}} {{.HostsPath") for name in ("first", "second", "third")}
    assert len(shown) == 1


def test_shared_memory_of_another_container(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sh", "-c", "echo x >/dev/shm/f; sleep 60"
    )
    moord.docker("exec", "donor", "sh", "-c", "until [ -s /dev/shm/f ]; do sleep 0.1; done")
    assert moord.docker("run", "--rm", "--ipc", "container:donor", "busybox", "cat", "/dev/shm/f") == "x"
    moord.docker("rm", "-f", "donor")


def test_a_network_may_be_named_by_the_beginning_of_its_id(moord: Daemon) -> None:
    network = moord.docker("network", "create", "brief")
    moord.docker("run", "-d", "--name", "there", "--network", network[:10], "busybox", "sleep", "1000")
    assert moord.inspect("there", '(index .NetworkSettings.Networks "brief").NetworkID') == network
    moord.docker("network", "disconnect", "brief", "there")
    assert moord.inspect("there", "len .NetworkSettings.Networks") == "0"
    moord.docker("rm", "-f", "there")
    moord.docker("network", "rm", "brief")
