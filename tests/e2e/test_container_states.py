"""States, exits, policies and answers of containers, where Docker's behaviour is a contract."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")
# Says which signal it got by its exit code, and when it can get one.
TRAPS = "trap 'exit 3' USR1; trap 'exit 4' INT; trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"
STATE = (
    "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}} {{.State.Pid}} {{.State.StartedAt}} {{.State.FinishedAt}}"
)
NEVER = "0001-01-01T00:00:00Z"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"


def state(moord: Daemon, name: str) -> list[str]:
    return moord.docker("inspect", "-f", STATE, name).split()


def run_traps(moord: Daemon, name: str, *options: str) -> None:
    moord.docker("run", "-d", "--name", name, *options, "busybox", "sh", "-c", TRAPS)
    wait_until(lambda: "ready" in moord.docker("logs", name), what="the traps")


def message(answer: str) -> str:
    text: str = json.loads(answer)["message"]
    return text


def actions(moord: Daemon, name: str) -> list[str]:
    until = str(int(time.time()) + 1)
    lines = moord.docker("events", "--since=0", "--until", until, "-f", f"container={name}", "--format", "{{.Action}}")
    return lines.splitlines()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("nosuch",), 127, 'exec: "nosuch": executable file not found in $PATH: unknown'),
        (("/no/such",), 127, 'exec: "/no/such": stat /no/such: no such file or directory: unknown'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied: unknown'),
        (("/etc",), 126, 'exec: "/etc": is a directory: unknown: permission denied'),
    ],
)
def test_a_start_that_fails(moord: Daemon, words: tuple[str, ...], code: int, text: str) -> None:
    # A policy does not try again what could not begin.
    done = moord.run("run", "--name", "bad", "--restart", "always", "-d", "busybox", *words)
    assert done.returncode == code
    assert text in done.stderr
    assert state(moord, "bad") == ["created", str(code), "0", "0", NEVER, NEVER]
    assert moord.inspect("bad", ".State.Error").endswith(text)
    assert moord.docker("ps", "-a", "--format", "{{.Status}}") == "Created"
    assert moord.run("run", "--rm", "busybox", *words).returncode == code
    assert moord.docker("ps", "-aq").count("\n") == 0


def test_a_port_in_use_leaves_it_created(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "first", "-p", "127.0.0.1:7070:80", *SLEEP)
    done = moord.run("run", "-d", "--name", "second", "-p", "127.0.0.1:7070:80", "--restart", "always", *SLEEP)
    assert done.returncode == 125
    assert "failed to set up container networking: driver failed programming external connectivity" in done.stderr
    assert "Bind for 127.0.0.1:7070 failed: port is already allocated" in done.stderr
    assert state(moord, "second") == ["created", "128", "0", "0", NEVER, NEVER]


def test_how_it_ended_can_be_read(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "one", *SLEEP)
    status, code, count, pid, started, finished = state(moord, "one")
    assert (status, code, count, finished) == ("running", "0", "0", NEVER)
    assert int(pid) > 1
    assert re.fullmatch(TIME, started)
    moord.docker("kill", "one")
    assert moord.inspect("one", ".State.OOMKilled") == "false"
    assert state(moord, "one")[:5] == ["exited", "137", "0", "0", started]
    assert re.fullmatch(TIME, state(moord, "one")[5])
    assert state(moord, "one")[5] > started
    assert re.fullmatch(r"Exited \(137\) .+ ago", moord.docker("ps", "-a", "--format", "{{.Status}}"))


def test_dying_for_want_of_memory_is_told(moord: Daemon) -> None:
    done = moord.run("run", "--name", "big", "-m", "16m", "--memory-swap", "16m", "busybox", "tail", "/dev/zero")
    assert done.returncode == 137
    assert moord.inspect("big", ".State.OOMKilled}} {{.State.ExitCode") == "true 137"


def test_which_signals_end_a_policys_work(moord: Daemon) -> None:
    run_traps(moord, "policy", "--restart", "always")
    moord.docker("kill", "-s", "USR1", "policy")
    wait_until(lambda: state(moord, "policy")[0::2][:2] == ["running", "1"], what="it to come back")
    wait_until(lambda: moord.docker("logs", "policy").count("ready") == 2, what="the traps")
    # A user who stops a container stops it with any signal.
    moord.docker("stop", "-s", "INT", "policy")
    assert state(moord, "policy")[:3] == ["exited", "4", "1"]
    moord.docker("start", "policy")
    assert state(moord, "policy")[2] == "0"
    wait_until(lambda: moord.docker("logs", "policy").count("ready") == 3, what="the traps")
    moord.docker("kill", "-s", "15", "policy")
    wait_until(lambda: state(moord, "policy")[:2] == ["exited", "5"], what="its end")


def test_a_container_that_waits_for_its_restart(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "loop", "--restart", "always", "busybox", "sh", "-c", "exit 9")
    answer = json.loads(moord.api("POST", "/containers/loop/wait?condition=next-exit"))
    assert answer == {"StatusCode": 9}

    def restarting() -> bool:
        return moord.inspect("loop", ".State.Restarting") == "true"

    wait_until(lambda: int(state(moord, "loop")[2]) >= 4 and restarting(), what="a long wait")
    assert re.fullmatch(r"Restarting \(9\) .+ ago", moord.docker("ps", "--format", "{{.Status}}"))
    assert moord.docker("ps", "-q", "-f", "status=restarting") != ""
    assert "is restarting, wait until the container is running" in moord.run("exec", "loop", "true").stderr
    assert "container is restarting: stop the container before removing" in moord.run("rm", "loop").stderr
    # Not for what is no process: the restart stays.
    moord.docker("kill", "-s", "USR1", "loop")
    count = int(state(moord, "loop")[2])
    wait_until(lambda: int(state(moord, "loop")[2]) > count, what="the next run")
    moord.docker("stop", "loop")
    assert state(moord, "loop")[:2] == ["exited", "9"]


def test_restart_of_any_state(moord: Daemon) -> None:
    moord.docker("create", "--name", "any", *SLEEP)
    moord.docker("restart", "any")
    moord.docker("pause", "any")
    assert moord.docker("ps", "--format", "{{.Status}} {{.State}}").endswith("(Paused) paused")
    moord.docker("restart", "-t", "0", "any")
    assert state(moord, "any")[0] == "running"
    moord.docker("pause", "any")
    moord.docker("stop", "-t", "1", "any")
    assert state(moord, "any")[:2] == ["exited", "137"]
    told = actions(moord, "any")
    assert told[:8] == ["create", "start", "restart", "pause", "kill", "unpause", "kill", "die"] or told[:7] == [
        "create", "start", "restart", "pause", "kill", "unpause", "die",
    ]  # fmt: skip
    assert told[-1] == "stop"


def test_restart_of_a_container_that_is_removed_at_its_end(moord: Daemon) -> None:
    moord.docker("run", "-d", "--rm", "--name", "brief", *SLEEP)
    moord.docker("exec", "brief", "touch", "/kept")
    for _ in range(2):
        moord.docker("restart", "-t", "0", "brief")
    moord.docker("exec", "brief", "ls", "/kept")
    moord.docker("stop", "-t", "0", "brief")
    wait_until(lambda: moord.docker("ps", "-aq") == "", what="its removal")


def test_old_versions_see_the_short_id_as_an_alias_after_the_first_start(moord: Daemon) -> None:
    moord.docker("network", "create", "names")
    moord.docker("create", "--name", "one", "--network", "names", "--network-alias", "a", *SLEEP)
    seen = [aliases(moord, version) for version in ("v1.41", "v1.45")]
    moord.docker("start", "one")
    seen += [aliases(moord, version) for version in ("v1.41", "v1.45")]
    assert seen == [["a"], ["a"], ["a", moord.inspect("one", ".Config.Hostname")], ["a"]]
    moord.docker("rm", "-f", "one")
    moord.docker("network", "rm", "names")


def aliases(moord: Daemon, version: str) -> list[str]:
    found: list[str] = json.loads(moord.api("GET", f"/{version}/containers/one/json"))["NetworkSettings"]["Networks"][
        "names"
    ]["Aliases"]
    return found


WRONG: dict[tuple[str, str], tuple[int, str]] = {
    ("POST", "/containers/idle/kill"): (409, "cannot kill container: idle: container ID is not running"),
    ("POST", "/containers/idle/kill?signal=BOGUS"): (400, "cannot kill container: idle: invalid signal: BOGUS"),
    ("POST", "/containers/busy/kill?signal=65"): (
        400, "cannot kill container: busy: the linux daemon does not support signal 65",
    ),
    ("POST", "/containers/nobody/kill"): (404, "cannot kill container: nobody: No such container: nobody"),
    ("POST", "/containers/busy/stop?signal=BOGUS"): (500, "cannot stop container: busy: invalid signal: BOGUS"),
    ("POST", "/containers/nobody/restart"): (404, "No such container: nobody"),
    ("POST", "/containers/idle/pause"): (409, "container ID is not running"),
    ("POST", "/containers/busy/unpause"): (500, "Container ID is not paused"),
    ("POST", "/containers/idle/wait?condition=soon"): (400, 'invalid condition: "soon"'),
    ("POST", "/containers/idle/rename?name=/"): (400, "Neither old nor new names may be empty"),
    ("POST", "/containers/idle/rename?name=idle"): (
        400, "Renaming a container with the same name as its current name",
    ),
    ("POST", "/containers/idle/rename?name=a+b"): (
        400,
        "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    ),
    ("POST", "/containers/idle/rename?name=busy"): (
        409,
        (
            'Error when allocating new name: Conflict. The container name "/busy" is already in use by container "ID". '
            "You have to remove (or rename) that container to be able to reuse that name."
        ),
    ),
    ("DELETE", "/containers/busy"): (
        409,
        'cannot remove container "busy": container is running: stop the container before removing or force remove',
    ),
    ("DELETE", "/containers/cold"): (
        409, 'cannot remove container "cold": container is paused and must be unpaused first',
    ),
    ("POST", "/containers/cold/start"): (409, "cannot start a paused container, try unpause instead"),
    ("POST", "/containers/cold/pause"): (409, "Container ID is already paused"),
    ("POST", "/containers/busy/start"): (304, ""),
    ("POST", "/containers/idle/stop"): (304, ""),
    ("POST", "/v1.29/containers/idle/wait?condition=soon"): (200, ""),
}  # fmt: skip


def test_answers_and_their_words(moord: Daemon) -> None:
    moord.docker("create", "--name", "idle", "busybox")
    moord.docker("run", "-d", "--name", "busy", *SLEEP)
    moord.docker("run", "-d", "--name", "cold", *SLEEP)
    moord.docker("pause", "cold")
    for (method, target), (status, text) in WRONG.items():
        got, body = ask(moord, method, target)
        assert got == status, target
        if text:
            assert re.sub("[0-9a-f]{64}", "ID", message(body)) == text
    got, body = ask(moord, "POST", "/containers/idle/start", {"Binds": ["/a:/b"]})
    assert (got, message(body)) == (
        400, "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
    )  # fmt: skip
    update = {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}
    for name in ("idle", "nobody"):
        got, body = ask(moord, "POST", f"/containers/{name}/update", update)
        assert (got, message(body)) == (
            400, "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        )  # fmt: skip
    assert ask(moord, "POST", "/containers/idle/update", {"RestartPolicy": {"Name": "on-failure"}})[0] == 200


def ask(moord: Daemon, method: str, target: str, body: Any = None) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(stretched(20))
        connection.connect(str(moord.socket))
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    first, _, rest = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), rest.decode()


def test_the_head_of_a_wait_says_that_it_counts(moord: Daemon) -> None:
    moord.docker("create", "--name", "soon", "busybox", "sh", "-c", "exit 6")
    with waiting(moord, "next-exit") as (head, rest):
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        moord.docker("start", "soon")
        assert b'{"StatusCode":6}' in rest()
    # The present state never is the next exit, nor the end of all.
    with waiting(moord, "next-exit") as (_, next_exit), waiting(moord, "removed") as (_, removal):
        moord.docker("rm", "soon")
        assert b'{"StatusCode":6}' in next_exit()
        assert b'{"StatusCode":6}' in removal()


@contextlib.contextmanager
def waiting(moord: Daemon, condition: str) -> Iterator[tuple[bytes, Callable[[], bytes]]]:
    """Begin to wait for a container; have the head of the answer, and what gives the rest."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(stretched(20))
        connection.connect(str(moord.socket))
        request = f"POST /containers/soon/wait?condition={condition} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        yield connection.recv(65536), lambda: b"".join(iter(lambda: connection.recv(65536), b""))


def test_links_and_names_follow_a_rename(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "db", "--expose", "33", *SLEEP)
    moord.docker("run", "-d", "--name", "web", "--link", "db:data", "--link", "db", *SLEEP)
    moord.docker("rename", "db", "store")
    # A container that has the old name now is another one.
    moord.docker("create", "--name", "db", "busybox")
    assert moord.inspect("web", ".HostConfig.Links") == "[/store:/web/data /store:/web/db]"
    assert moord.inspect("web/data", ".Name") == "/store"
    for missing in ("web/nothing", "nobody/data"):
        shown = moord.run("container", "inspect", missing)
        assert f"No such container: {missing}" in shown.stderr
    names = moord.docker("ps", "-a", "--no-trunc", "--format", "{{.Names}}")
    assert names.splitlines() == ["db", "web", "store,web/data,web/db"]
    moord.docker("restart", "-t", "0", "web")
    line = next(line for line in moord.docker("exec", "web", "cat", "/etc/hosts").splitlines() if "data" in line)
    assert line.split()[1:] == ["data", moord.inspect("store", ".Config.Hostname"), "store"]
    assert "DATA_PORT_33_TCP_PORT=33" in moord.docker("exec", "web", "env").splitlines()
    moord.docker("rename", "web", "site")
    assert moord.inspect("site", ".HostConfig.Links") == "[/store:/site/data /store:/site/db]"
    moord.docker("rm", "-f", "store")
    assert "Cannot link to a non running container: /" in moord.run("restart", "-t", "0", "site").stderr

    moord.docker("network", "create", "names")
    moord.docker("run", "-d", "--name", "one", "--network", "names", "--network-alias", "one", *SLEEP)
    moord.docker("run", "-d", "--name", "two", "--network", "names", *SLEEP)
    moord.docker("rename", "one", "uno")
    moord.docker("rename", "two", "due")
    for name, known in (("uno", True), ("one", True), ("due", True), ("two", False)):
        assert (moord.run("exec", "uno", "nslookup", name).returncode == 0) is known
    moord.docker("rm", "-f", "uno", "due")
    moord.docker("network", "rm", "names")


def test_prune_by_label_and_time(moord: Daemon) -> None:
    for name, labels in (("none", ()), ("both", ("a", "b")), ("only", ("a",))):
        moord.docker("create", "--name", name, *(f"--label={label}" for label in labels), "busybox")
    moord.docker("run", "-d", "--name", "busy", *SLEEP)

    def left(**filters: list[str]) -> set[str]:
        text = json.dumps({key.replace("without", "label!"): values for key, values in filters.items()})
        pruned = json.loads(moord.api("POST", f"/containers/prune?filters={text.replace(' ', '')}"))
        assert pruned["SpaceReclaimed"] >= 0
        return set(moord.docker("ps", "-a", "--format", "{{.Names}}").split())

    assert left(until=["1h"]) == {"none", "both", "only", "busy"}
    assert left(label=["b"], until=["0s"]) == {"none", "only", "busy"}
    assert left(without=["a"]) == {"only", "busy"}
    assert left() == {"busy"}
    until = str(int(time.time()) + 1)
    told = moord.docker("events", "--since=0", "--until", until, "-f", "event=prune", "--format", "{{json .}}")
    assert json.loads(told.splitlines()[-1])["Actor"] == {"ID": "", "Attributes": {"reclaimed": "0"}}
    answer = moord.api("POST", '/containers/prune?filters={"until":["1h","2h"]}', check=False)
    assert message(answer) == "more than one until filter specified"


def test_policies_start_in_the_order_of_need(own: Daemon) -> None:
    kept = ("-d", "--restart", "unless-stopped")
    own.docker("run", *kept, "--name", "base", *SLEEP)
    own.docker("run", *kept, "--name", "linked", "--link", "base:b", *SLEEP)
    own.docker("run", *kept, "--name", "joined", "--network", "container:linked", *SLEEP)
    own.docker("run", "-d", "--restart", "on-failure:3", "--name", "fails", *SLEEP)
    own.docker("run", "-d", "--restart", "on-failure", "--name", "stopped", *SLEEP)
    own.docker("stop", "-t", "0", "stopped")
    own.docker("run", "-d", "--restart", "always", "--name", "loop", "busybox", "false")
    own.reboot()
    own.start()
    wait_until(lambda: state(own, "joined")[0] == "running", what="the last of the chain", log=own.log)
    wait_until(lambda: state(own, "fails")[0] == "running", what="a failure's policy", log=own.log)
    # Not in the back-off of a failure, and the count begins anew.
    assert {state(own, name)[2] for name in ("base", "linked", "joined", "fails")} == {"0"}
    assert state(own, "stopped")[:2] == ["exited", "137"]
    wait_until(lambda: int(state(own, "loop")[2]) > 0, what="the loop to go on", log=own.log)
    # The daemon's end is no end of theirs.
    before = [state(own, name) for name in ("base", "linked", "joined")]
    own.stop()
    own.start()
    assert [state(own, name) for name in ("base", "linked", "joined")] == before
    assert own.docker("info", "-f", "{{.LiveRestoreEnabled}}") == "true"


def test_how_a_container_is_found(moord: Daemon) -> None:
    # Seventeen IDs cannot all begin differently.
    ids = [json.loads(moord.api("POST", "/containers/create", {"Image": "busybox"}))["Id"] for _ in range(17)]
    digits = [container_id[0] for container_id in ids]
    twice = next(digit for digit in digits if digits.count(digit) > 1)
    assert ask(moord, "GET", f"/containers/{twice}/json") == (
        400, f'{{"message":"multiple IDs found with provided prefix: {twice}"}}\n',
    )  # fmt: skip
    assert moord.docker("ps", "-aq", "-f", f"id={twice}") == ""
    # A name comes before the beginning of an ID.
    moord.docker("rename", ids[0], ids[1][:12])
    for reference, found in (
        (ids[1][:12], ids[0]),
        (f"/{ids[1][:12]}", ids[0]),
        (ids[1], ids[1]),
        (ids[1][:20], ids[1]),
    ):
        assert moord.inspect(reference, ".Id") == found
    # Or else its neighbour could not be removed by its short ID.
    moord.docker("rename", ids[0], "first")
    names = moord.docker("ps", "-a", "--format", "{{.Names}}").split()
    assert all(re.fullmatch(r"[a-z]+_[a-z]+\d?|[0-9a-f]{12}|first", name) for name in names)
    assert len(set(names)) == 17


def test_former_ways_to_page_a_list_count_for_nothing(moord: Daemon) -> None:
    for name in ("older", "newer"):
        moord.docker("create", "--name", name, "busybox")
    whole = moord.api("GET", "/containers/json?all=1")
    for query in ("since=older", "before=newer", "since=nobody"):
        assert moord.api("GET", f"/containers/json?all=1&{query}") == whole


def test_paths_of_what_a_start_makes_come_with_the_start(moord: Daemon) -> None:
    moord.docker("create", "--name", "fresh", "busybox")
    template = ".HostsPath}}{{.HostnamePath}}{{.ResolvConfPath"
    assert moord.inspect("fresh", template) == ""
    moord.docker("start", "-a", "fresh")
    directory = f"{moord.data_root}/containers/{moord.inspect('fresh', '.Id')}"
    assert moord.inspect("fresh", template) == f"{directory}/hosts{directory}/hostname{directory}/resolv.conf"


def test_an_init_of_its_own_needs_a_process_namespace_of_its_own(moord: Daemon) -> None:
    processes = moord.docker("run", "--rm", "--init", "busybox", "ps", "-o", "pid,comm").split()
    assert processes[2:4] == ["1", "docker-init"]
    shared = moord.docker(
        "run", "--rm", "--init", "--pid", "host", "busybox", "sh", "-c", "ls -l /proc/$PPID/exe; true"
    )
    assert "docker-init" not in shared
    # Init tells of a signal what a shell would.
    assert moord.run("run", "--rm", "--init", "busybox", "sh", "-c", "kill -SEGV $$").returncode == 139


def test_how_a_container_wants_to_be_stopped(moord: Daemon) -> None:
    run_traps(moord, "asks", "--stop-signal", "USR1")
    moord.docker("stop", "asks")
    assert state(moord, "asks")[:2] == ["exited", "3"]
    moord.docker("run", "-d", "--name", "deaf", "--stop-timeout", "1", *SLEEP)
    moord.docker("stop", "deaf")
    assert actions(moord, "deaf")[-4:] == ["kill", "kill", "die", "stop"]
    # Without end: its own time is all that counts.
    slowly = "trap 'sleep 1.5; exit 8' TERM; echo ready; while :; do sleep 0.1; done"
    moord.docker("run", "-d", "--name", "slow", "--stop-timeout", "0", "busybox", "sh", "-c", slowly)
    wait_until(lambda: "ready" in moord.docker("logs", "slow"), what="the trap")
    moord.docker("stop", "-t", "-1", "slow")
    assert state(moord, "slow")[:2] == ["exited", "8"]
    # Before API 1.42 a stop knows no signal of its own.
    moord.docker("start", "asks")
    wait_until(lambda: moord.docker("logs", "asks").count("ready") == 2, what="the traps")
    moord.api("POST", "/v1.41/containers/asks/stop?signal=INT")
    assert state(moord, "asks")[1] == "3"


def test_what_an_image_and_a_request_make_together(moord: Daemon) -> None:
    image = [
        "ENV A=1 B=2", "LABEL a=1 b=2", "EXPOSE 80 90/udp", "VOLUME /v", 'ENTRYPOINT ["echo","e"]', 'CMD ["c"]',
        "USER 1000", "WORKDIR /tmp", "STOPSIGNAL INT",
    ]  # fmt: skip
    moord.docker("create", "--name", "base", "busybox")
    moord.docker("commit", *(word for line in image for word in ("-c", line)), "base", "merged")

    def config(**request: Any) -> dict[str, Any]:
        made = json.loads(moord.api("POST", "/containers/create", {"Image": "merged", **request}))
        found: dict[str, Any] = json.loads(moord.api("GET", f"/containers/{made['Id']}/json"))["Config"]
        return found

    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    changed = config(
        Env=["A=9", "C"], Labels={"a": "x"}, ExposedPorts={"70/tcp": {}}, Volumes={"/w": {}}, User="0", WorkingDir="/"
    )
    assert [each for each in changed["Env"] if each != path] == ["A=9", "C", "B=2"]
    assert changed["Labels"] == {"a": "x", "b": "2"}
    assert set(changed["ExposedPorts"]) == {"70/tcp", "80/tcp", "90/udp"}
    assert set(changed["Volumes"]) == {"/v", "/w"}
    assert (changed["User"], changed["WorkingDir"], changed["StopSignal"]) == ("0", "/", "INT")
    for request, entrypoint, command in (
        ({}, ["echo", "e"], ["c"]),
        ({"Cmd": ["d"]}, ["echo", "e"], ["d"]),
        ({"Entrypoint": ["sh"]}, ["sh"], None),
        ({"Entrypoint": [], "Cmd": []}, [], ["c"]),
        ({"Entrypoint": [""], "Cmd": ["d"]}, None, ["d"]),
    ):
        merged = config(**request)
        assert (merged["Entrypoint"], merged["Cmd"]) == (entrypoint, command)
    nothing = ask(moord, "POST", "/containers/create", {"Image": "merged", "Entrypoint": [""]})
    assert nothing == (400, '{"message":"no command specified"}\n')
    empty = ask(moord, "POST", "/containers/create", {})
    assert empty == (400, '{"message":"config cannot be empty in order to create a container"}\n')
