"""Log drivers that send to a server, and what becomes of a container whose server is gone."""

import gzip
import json
import os
import signal
from pathlib import Path

import msgspec
import pytest

from tests.support.certificates import make_certificate
from tests.support.daemon import Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(180)]
SAY = ("busybox", "sh", "-c", "echo hello; echo oops >&2")
GONE = "tcp://127.0.0.1:1"
"""Nobody ever listens there."""


def options(driver: str, **values: str) -> list[str]:
    words = ["--log-driver", driver]
    for name, value in values.items():
        words += ["--log-opt", f"{name.replace('_', '-')}={value}"]
    return words


def test_syslog_gets_lines_and_the_log_can_be_read_here(moord: Daemon) -> None:
    with moord.log_server("udp", "5514") as server:
        log = options("syslog", syslog_address="udp://127.0.0.1:5514", tag="{{.Name}}", syslog_format="rfc5424")
        moord.docker("run", "--name", "sys", *log, *SAY)
        packets = sorted((server.packet(), server.packet()), reverse=True)
    assert packets[0].startswith(b"<30>1 ")
    assert b" sys - hello\n" in packets[0]
    assert packets[1].startswith(b"<27>1 ")
    assert b" sys - oops\n" in packets[1]
    done = moord.run("logs", "sys")
    assert (done.stdout, done.stderr) == ("hello\n", "oops\n")
    assert moord.inspect("sys", ".HostConfig.LogConfig.Type") == "syslog"
    assert moord.inspect("sys", ".LogPath") == ""


def test_gelf_and_fluentd_describe_the_container(moord: Daemon) -> None:
    with moord.log_server("udp", "5515") as server:
        log = options("gelf", gelf_address="udp://127.0.0.1:5515", labels="a", env="B")
        container = moord.docker("run", "-d", "--name", "graylog", "--label", "a=1", "-e", "B=2", *log, *SAY)
        message = json.loads(gzip.decompress(server.packet()))
    assert message.items() >= {
        "version": "1.1", "_container_id": container, "_container_name": "graylog", "_tag": container[:12],
        "_image_name": "busybox", "_a": "1", "_B": "2",
    }.items()  # fmt: skip
    with moord.log_server("unix", moord.base / "fluent") as server:
        log = options("fluentd", fluentd_address=f"unix://{moord.base}/fluent", fluentd_sub_second_precision="true")
        container = moord.docker("run", "-d", *log, "busybox", "echo", "hello")
        tag, _, record, _ = msgspec.msgpack.decode(server.packet())
    assert tag == container[:12]
    assert record["log"] == "hello"
    assert record["container_id"] == container


def test_journald_finds_the_journal_s_socket(own: Daemon) -> None:
    # A /run of its own: the machine's journal is none of our business.
    own.in_network("mount", "-t", "tmpfs", "none", "/run")
    own.restart()
    refused = own.run("run", *options("journald"), "busybox", "true")
    assert "failed to initialize logging driver: journald is not enabled on this host" in refused.stderr
    own.in_network("mkdir", "-p", "/run/systemd/journal")
    with own.log_server("unixgram", "/run/systemd/journal/socket") as server:
        own.docker("run", "--name", "noted", *options("journald", labels="x.y"), "--label", "x.y=z", *SAY)
        entries = server.packet() + server.packet()
    assert b"PRIORITY=6\nMESSAGE=hello\n" in entries
    assert b"PRIORITY=3\nMESSAGE=oops\n" in entries
    assert b"CONTAINER_NAME=noted\n" in entries
    assert b"X_Y=z\n" in entries


def test_server_that_is_not_there_keeps_a_container_from_starting(moord: Daemon) -> None:
    moord.docker("create", "--name", "refused", *options("syslog", syslog_address=GONE), "busybox", "true")
    answer = moord.run("start", "refused")
    assert answer.returncode == 1
    assert (
        "failed to create task for container: failed to initialize logging driver: "
        "dial tcp 127.0.0.1:1: connect: connection refused"
    ) in answer.stderr
    assert moord.inspect("refused", ".State.Status") == "created"
    moord.docker("rm", "refused")


def test_start_that_waits_for_a_server_keeps_nobody_else_waiting(moord: Daemon) -> None:
    with moord.log_server("deaf", "5517"):
        log = options("syslog", syslog_address="tcp://127.0.0.1:5517")
        moord.docker("create", "--name", "waiting", *log, "busybox", "true")
        start = moord.popen("start", "waiting")
        assert moord.docker("run", "--rm", "busybox", "echo", "other") == "other"
        assert "waiting" in moord.docker("ps", "-a")
        assert start.poll() is None
        moord.docker("rm", "-f", "waiting", timeout=5)
        assert start.wait(timeout=stretched(5)) == 1


@pytest.mark.needs("rsyslogd")
def test_rsyslog_understands_every_form(moord: Daemon) -> None:
    """Octets are counted and certificates checked by a server that is not ours."""
    directory = moord.base / "rsyslog"
    directory.mkdir()
    make_certificate(directory)
    with moord.rsyslog(directory) as received:
        for form in ("", "rfc3164", "rfc5424", "rfc5424micro"):
            for address in ("udp://127.0.0.1:5520", "tcp://127.0.0.1:5521", "tcp+tls://127.0.0.1:5522"):
                log = options(
                    "syslog", syslog_address=address, syslog_format=form, tag="web",
                    syslog_tls_ca_cert=str(directory / "cert"),
                )  # fmt: skip
                moord.docker("run", "--rm", *log, "busybox", "sh", "-c", f"echo {form or 'plain'} {address}; echo two")
        wait_until(lambda: len(received()) == 24, what="all messages")
        lines = received()
    for line in lines:
        assert line.startswith("30 web "), lines
    assert [line.split("[")[1].split()[0] for line in lines[::6]] == ["plain", "rfc3164", "rfc5424", "rfc5424micro"]


def test_option_is_refused_at_creation(moord: Daemon) -> None:
    refused = moord.run("create", *options("syslog", x="1"), "busybox")
    assert "unknown log opt 'x' for syslog log driver" in refused.stderr
    assert "no log driver named 'splunk' is registered" in moord.run("create", *options("splunk"), "busybox").stderr
    info = json.loads(moord.docker("info", "--format", "{{json .Plugins.Log}}"))
    assert info == ["fluentd", "gelf", "journald", "json-file", "local", "syslog"]


def test_server_that_goes_makes_nobody_else_wait(moord: Daemon) -> None:
    """A blocking driver whose server takes nothing: only that container's output waits."""
    log = options("fluentd", fluentd_address=f"unix://{moord.base}/going")
    with moord.log_server("unix", moord.base / "going") as server:
        moord.docker("run", "-d", "--name", "stuck", *log, "busybox", "yes", "0123456789" * 10)
        server.packet()
    (moord.base / "going").unlink()
    moord.docker("run", "--rm", "busybox", "true")
    assert moord.docker("exec", "stuck", "echo", "alive") == "alive"
    assert "stuck" in moord.docker("ps")
    moord.docker("logs", "--tail", "1", "stuck")
    moord.docker("stop", "-t", "1", "stuck", timeout=20)
    assert moord.inspect("stuck", ".State.ExitCode") == "137"
    moord.docker("rm", "stuck")


@pytest.mark.parametrize("mode", [{"mode": "non-blocking", "max_buffer_size": "64k"}, {}])
def test_output_goes_on_without_a_server(moord: Daemon, mode: dict[str, str]) -> None:
    fluentd = {"fluentd_address": f"unix://{moord.base}/nowhere", "fluentd_async": "true", "fluentd_buffer_limit": "9"}
    moord.docker(
        "run", "--name", "free", *options("fluentd", **fluentd, **mode), "busybox", "sh", "-c", "seq 200000; echo done"
    )
    assert moord.docker("logs", "--tail", "1", "free") == "done"
    moord.docker("rm", "free")


def test_delivery_goes_on_without_a_daemon_and_after_a_quiet_time(own: Daemon) -> None:
    with own.log_server("unix", own.base / "syslog") as server:
        log = options("syslog", syslog_address=f"unix://{own.base}/syslog")
        own.docker("run", "-d", "-i", "--name", "talk", *log, "busybox", "sh", "-c", "echo one; cat")
        server.until(b": one\n")
        # Asleep the shim is one process less.
        before = len(own.processes())
        wait_until(lambda: len(own.processes()) < before, what="the shim to fall asleep")
        own.kill()
        own.start()
        pid = int(own.inspect("talk", ".State.Pid"))
        Path(f"/proc/{pid}/fd/1").write_text("two\n")
        server.until(b": two\n")
        own.docker("kill", "talk")


def test_delivering_process_may_be_killed(own: Daemon) -> None:
    with own.log_server("unix", own.base / "syslog") as server:
        log = options("syslog", syslog_address=f"unix://{own.base}/syslog")
        talk = "while echo a; do sleep 0.1; done"
        own.docker("run", "-d", "--name", "lasting", *log, "busybox", "sh", "-c", talk)
        server.packet()
        for pid in own.processes():
            if Path(f"/proc/{pid}/comm").read_text() == "moor-log\n":
                os.kill(pid, signal.SIGKILL)
        server.packet()
        server.packet()
        own.docker("rm", "-f", "lasting")


def test_daemon_has_defaults(own: Daemon) -> None:
    address = f"syslog-address=unix://{own.base}"
    own.restart("--log-driver", "syslog", "--log-opt", address, "--log-opt", "cache-max-file=2")
    assert own.docker("info", "--format", "{{.LoggingDriver}}") == "syslog"
    own.docker("create", "--name", "usual", "busybox")
    assert json.loads(own.inspect("usual", "json .HostConfig.LogConfig")) == {
        "Type": "syslog", "Config": {"syslog-address": f"unix://{own.base}", "cache-max-file": "2"},
    }  # fmt: skip
    own.docker("create", "--name", "other", "--log-driver", "json-file", "busybox")
    assert json.loads(own.inspect("other", "json .HostConfig.LogConfig.Config")) == {"cache-max-file": "2"}
    own.stop()
    own.start("--log-driver", "splunk", wait=False)
    wait_until(lambda: "failed to set log opts: logger: no log driver named 'splunk'" in own.log.read_text(), what="it")
