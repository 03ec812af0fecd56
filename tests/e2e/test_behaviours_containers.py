"""What users lean on when they create and run containers, where no other test looks; see behaviours.tsv."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")


def refusal(moord: Daemon, *flags: str) -> str:
    done = moord.run("run", "--rm", *flags, "busybox", "true")
    assert done.returncode == 125
    return done.stderr.partition("Error response from daemon: ")[2].splitlines()[0]


def created(moord: Daemon, body: dict[str, Any]) -> str:
    """Return the ID of a container, or the words that refuse it."""
    answer = json.loads(moord.api("POST", "/containers/create", body, check=False))
    return str(answer.get("Id") or answer["message"])


def test_who_was_stopped_comes_back_with_the_machine_only_by_always(own: Daemon) -> None:
    for policy in ("always", "unless-stopped"):
        own.docker("run", "-d", "--name", policy, "--restart", policy, *SLEEP)
    own.docker("stop", "-t", "0", "always", "unless-stopped")
    own.reboot()
    own.start()
    wait_until(lambda: own.inspect("always", ".State.Running") == "true", what="the policy to work", log=own.log)
    assert own.inspect("unless-stopped", ".State.Status}} {{.State.ExitCode") == "exited 137"


def test_the_daemon_refuses_what_the_command_would(moord: Daemon) -> None:
    always = {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}
    assert created(moord, {"Image": "busybox", "HostConfig": always}) == (
        "can't create 'AutoRemove' container with restart policy"
    )
    assert created(moord, {"Image": "busybox", "WorkingDir": "rel"}) == (
        "the working directory 'rel' is invalid, it needs to be an absolute path"
    )


def test_anonymous_volumes_go_with_a_container_that_removes_itself(moord: Daemon) -> None:
    before = moord.docker("volume", "ls", "-q")
    moord.docker("run", "--rm", "-v", "/one", "-v", "/two", "busybox", "true")
    assert moord.docker("volume", "ls", "-q") == before


def test_paused_containers_answer_no_attach(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "cold", *SLEEP)
    moord.docker("pause", "cold")
    assert "is paused, unpause the container before attach" in moord.api(
        "POST", "/containers/cold/attach?stream=1&stdout=1", check=False
    )


def test_the_file_of_an_id(moord: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "id"
    assert moord.run("run", "--cidfile", str(file), "--name", "named", "busybox", "nosuch").returncode == 127
    assert file.read_text() == moord.inspect("named", ".Id")
    assert "container ID file found" in moord.run("run", "--cidfile", str(file), "busybox", "true").stderr
    other = tmp_path / "other"
    assert moord.run("run", "--cidfile", str(other), "-m", "1m", "busybox", "true").returncode == 125
    assert not other.exists()


def test_what_the_environment_begins_with(moord: Daemon) -> None:
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    output = moord.docker("run", "--rm", "--name", "plain", "-e", "NOT_SET_ANYWHERE", "busybox", "env").splitlines()
    assert {path, "HOME=/root"} <= set(output)
    assert [line.partition("=")[0] for line in output].count("NOT_SET_ANYWHERE") == 0
    terminal = moord.docker("run", "-t", "--rm", "-u", "user", "-e", "TERM", "busybox", "env").split()
    assert {"HOME=/tmp"} <= set(terminal)
    assert "TERM=xterm" in moord.docker("run", "-t", "--rm", "busybox", "env").split()
    assert moord.docker("run", "--rm", "-u", "4321", "busybox", "sh", "-c", "echo $HOME") == "/"


def test_which_name_the_host_of_a_container_has(moord: Daemon) -> None:
    own = moord.docker("create", "--name", "named", "busybox", "sh", "-c", "hostname; echo $HOSTNAME")
    assert moord.docker("start", "-a", "named").split() == [own[:12], own[:12]]
    host = moord.in_network("hostname").strip()
    for mode in ("--network", "--uts"):
        output = moord.docker("run", "--rm", mode, "host", "busybox", "sh", "-c", "hostname; echo $HOSTNAME")
        assert output.split() == [host, host]
    assert refusal(moord, "--hostname", "a" * 65).endswith("is too long (maximum 64 bytes)")


def test_who_runs(moord: Daemon) -> None:
    output = moord.docker("run", "--rm", "-u", "user:extra", "busybox", "id")
    assert output.split()[:2] == ["uid=1000(user)", "gid=2000(extra)"]
    assert moord.docker("run", "--rm", "-u", "1:2", "busybox", "id", "-G") == "2"
    assert moord.docker("run", "--rm", "-u", "7", "busybox", "sh", "-c", "id -u; id -g").split() == ["7", "0"]
    assert refusal(moord, "-u", "nosuch") == "unable to find user nosuch: no matching entries in passwd file"
    assert refusal(moord, "--group-add", "nosuch") == ("Unable to find group nosuch: no matching entries in group file")
    assert refusal(moord, "--group-add", "99999999999") == "uids and gids must be in range 0-2147483647"
    output = moord.docker("run", "--rm", "-u", "user", "-w", "/made/it", "busybox", "stat", "-c", "%u %a", "/made/it")
    assert output == "0 755"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("--memory-swap 50m", "You should always set the Memory limit when using Memoryswap limit, see usage"),
        ("-m 64m --memory-swap 50m", "Minimum memoryswap limit should be larger than memory limit, see usage"),
        (
            "-m 64m --memory-reservation 100m",
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ("--cpus 1 --cpu-period 10000", "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
        ("--cpus 1 --cpu-quota 10000", "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        ("--blkio-weight 5", "Range of blkio weight is from 10 to 1000"),
        (
            "--cpu-period 10",
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        ("--cpu-quota 10", "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
    ],
)
def test_limits_that_make_no_sense(moord: Daemon, flags: str, text: str) -> None:
    assert refusal(moord, *flags.split()) == text


def test_no_limit_of_processes_and_an_ordinary_piece_of_memory(moord: Daemon) -> None:
    for limit in ("0", "-1"):
        output = moord.docker(
            "run", "--rm", "--pids-limit", limit, "busybox", "sh", "-c",
            "df -k /dev/shm | tail -1; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true",
        ).split()  # fmt: skip
        assert output[1] == "65536"
        assert set(output[6:]) <= {"max"}


def test_mounts_in_memory(moord: Daemon) -> None:
    script = "grep ' /t ' /proc/mounts; stat -c %a /t"
    plain = moord.docker("run", "--rm", "--tmpfs", "/t", "busybox", "sh", "-c", script)
    assert "rw,nosuid,nodev,noexec" in plain
    assert plain.endswith("1777")
    chosen = moord.docker("run", "--rm", "--tmpfs", "/t:exec,size=1m,mode=700", "busybox", "sh", "-c", script)
    assert "noexec" not in chosen
    assert ("size=1024k" in chosen, chosen.endswith("700")) == (True, True)


def test_message_queues_of_the_host(moord: Daemon) -> None:
    # The host may have none mounted.
    script = "grep -c ' /dev/mqueue mqueue ' /proc/mounts; readlink /proc/self/ns/ipc"
    output = moord.docker("run", "--rm", "--ipc", "host", "busybox", "sh", "-c", script).split()
    assert output == ["1", str(Path("/proc/self/ns/ipc").readlink())]


def test_control_groups_may_be_writable_and_a_filter_the_daemon_s_own(moord: Daemon) -> None:
    script = "d=$(ls -d /sys/fs/cgroup/pids || echo /sys/fs/cgroup) 2>/dev/null; mkdir $d/x && rmdir $d/x"
    for answer, code in (("true", 0), ("false", 1)):
        option = f"writable-cgroups={answer}"
        assert moord.run("run", "--rm", "--security-opt", option, "busybox", "sh", "-c", script).returncode == code
    for profile, mode in (("builtin", "2"), ("unconfined", "0")):
        options = ("--security-opt", f"seccomp={profile}", "--security-opt", "label=disable")
        assert moord.docker("run", "--rm", *options, "busybox", "grep", "Seccomp:", "/proc/self/status")[-1] == mode


def test_a_container_without_an_image(moord: Daemon) -> None:
    program = moord.base / "program"
    program.write_bytes(Path(moord.in_network("which", "busybox").strip()).read_bytes())
    program.chmod(0o755)
    assert created(moord, {"Image": "", "HostConfig": {"Binds": ["/a:/b"]}, "Cmd": []}) == "no command specified"
    host_config = {"Binds": [f"{program}:/bin/sh"]}
    bare = created(moord, {"Image": "", "Cmd": ["/bin/sh", "-c", "echo hello > /made"], "HostConfig": host_config})
    moord.docker("start", "-a", bare)
    assert moord.docker("ps", "-a", "--format", "{{.Image}} {{.Status}}").startswith("<no image> Exited (0)")
    assert moord.inspect(bare, ".Image}}|{{.Config.Image") == "|"
    assert "A /made" in moord.docker("diff", bare).splitlines()
    moord.docker("commit", bare, "from-nothing")
    assert len(moord.docker("history", "-q", "from-nothing").splitlines()) == 1
    moord.docker("rmi", "from-nothing")


def test_no_killing_for_want_of_memory_is_warned_about_alone(moord: Daemon) -> None:
    done = moord.run("run", "--rm", "--oom-kill-disable", "busybox", "true")
    assert done.returncode == 0
    assert "OOM killer is disabled for the container, but no memory limit is set" in done.stderr or (
        "does not support OomKillDisable" in done.stderr
    )


def test_what_the_daemon_says_of_itself(moord: Daemon) -> None:
    info = json.loads(moord.api("GET", "/info"))
    assert all(text.startswith("WARNING: ") for text in info["Warnings"])
    for name, text in (("SwapLimit", "No swap limit support"), ("IPv4Forwarding", "IPv4 forwarding is disabled")):
        assert (f"WARNING: {text}" in info["Warnings"]) == (not info[name])
    assert info["CgroupVersion"] in {"1", "2"}
    assert (info["CgroupDriver"], info["LiveRestoreEnabled"]) == ("cgroupfs", True)
    assert "127.0.0.0/8" in info["RegistryConfig"]["InsecureRegistryCIDRs"]
    assert {"json-file", "local", "journald", "syslog"} <= set(info["Plugins"]["Log"])
    version = json.loads(moord.api("GET", "/version"))
    engine = version["Components"][0]
    assert (engine["Name"], engine["Version"]) == ("Engine", version["Version"])
    assert engine["Details"]["ApiVersion"] == version["ApiVersion"]
