"""`docker logs`: what a container said, whoever asks and when."""

import json

import pytest

from tests.support.daemon import Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


def test_both_streams_and_the_last_lines(moord: Daemon) -> None:
    moord.docker("run", "--name", "said", "busybox", "sh", "-c", "echo one; echo two >&2; sleep 0.1; echo three")
    done = moord.run("logs", "said")
    assert (done.stdout, done.stderr) == ("one\nthree\n", "two\n")
    assert moord.docker("logs", "--tail", "1", "said") == "three"
    assert "Z three" in moord.docker("logs", "-t", "--tail", "1", "said")
    assert moord.docker("logs", "--since", "1h", "--until", "1m", "said") == ""


def test_following_ends_with_the_container(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "slow", "busybox", "sh", "-c", "echo a; sleep 0.5; echo b")
    assert moord.docker("logs", "-f", "slow") == "a\nb"


def test_long_lines_come_back_whole(moord: Daemon) -> None:
    moord.docker("run", "--name", "long", "busybox", "sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x")
    assert moord.docker("logs", "long") == "x" * 40000


def test_rotation_keeps_what_it_promises(moord: Daemon) -> None:
    options = ("--log-opt", "max-size=10k", "--log-opt", "max-file=2")
    moord.docker("run", "--name", "much", *options, "busybox", "seq", "1000")
    lines = moord.docker("logs", "much").splitlines()
    assert lines[-1] == "1000"
    assert 100 < len(lines) < 1000
    assert lines == [str(number) for number in range(1001 - len(lines), 1001)]


def test_a_log_goes_on_without_a_daemon(own: Daemon) -> None:
    own.docker(
        "run", "-d", "--name", "talk", "busybox", "sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done"
    )
    own.kill()
    wait_until(lambda: any((own.exec_root / "containers").rglob("exit.json")), what="the exit note")
    own.start()
    assert own.docker("logs", "talk").split() == ["1", "2", "3", "4", "5", "6"]


def test_refusals(moord: Daemon) -> None:
    moord.docker("create", "--name", "mute", "--log-driver", "none", "busybox")
    assert "configured logging driver does not support reading" in moord.run("logs", "mute").stderr
    moord.docker("create", "--name", "quiet", "busybox")
    assert "at least one of 'stdout' or 'stderr'" in moord.api("GET", "/containers/quiet/logs", check=False)
    assert (
        r"invalid value for \"since\": invalid timestamp \"then\": invalid seconds \"then\": invalid syntax"
        in moord.api("GET", "/containers/quiet/logs?stdout=1&since=then", check=False)
    )


def test_attach_with_logs_shows_the_past(moord: Daemon) -> None:
    moord.docker("run", "--name", "past", "busybox", "echo", "before")
    assert "before" in moord.api("POST", "/containers/past/attach?logs=1&stdout=1", check=False)


def test_a_log_may_come_as_objects(moord: Daemon) -> None:
    options = ("--log-opt", "labels=a", "--label", "a=1")
    moord.docker("run", "--name", "objects", *options, "busybox", "sh", "-c", "echo one; sleep 0.1; echo two >&2")
    path = "/v1.54/containers/objects/logs?stdout=1&stderr=1&details=1&format="
    first, second = map(json.loads, moord.api("GET", f"{path}json").splitlines())
    assert (first["Line"], first["Source"], first["Attrs"]) == ("one\n", "stdout", [{"Key": "a", "Value": "1"}])
    assert (second["Line"], second["Source"]) == ("two\n", "stderr")
    assert "unsupported log format" in moord.api("GET", f"{path}xml", check=False)
    # Before, the parameter was none.
    assert "one\n" in moord.api("GET", path.replace("1.54", "1.53") + "json")


def test_following_until_a_time_ends_by_itself(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "on", "busybox", "sh", "-c", "echo a; sleep 100")
    assert moord.docker("logs", "-f", "--until", "-1s", "on") == "a"
    moord.docker("rm", "-f", "on")


@pytest.mark.parametrize("log", ["json-file false", "json-file true", "local true"])
def test_following_goes_on_behind_rotations(moord: Daemon, log: str) -> None:
    driver, compress = log.split()
    options = ("--log-opt", "max-size=2k", "--log-opt", "max-file=9", "--log-opt", f"compress={compress}")
    count = "i=0; while [ $((i+=1)) -le 200 ]; do echo $i; sleep 0.002; done"
    moord.docker("run", "-d", "--name", "turning", "--log-driver", driver, *options, "busybox", "sh", "-c", count)
    assert moord.docker("logs", "-f", "turning").split()[-150:] == [str(number) for number in range(51, 201)]


def test_a_full_cache_is_read_to_its_end(moord: Daemon) -> None:
    log = (
        "--log-driver",
        "syslog",
        "--log-opt",
        "syslog-address=udp://127.0.0.1:5999",
        "--log-opt",
        "cache-max-size=20k",
    )
    moord.docker("run", "--name", "cached", *log, "--log-opt", "cache-max-file=3", "busybox", "seq", "2000")
    lines = moord.docker("logs", "cached").split()
    assert lines == [str(number) for number in range(2001 - len(lines), 2001)]
    assert 200 < len(lines) < 2000
    moord.docker("run", "--name", "bare", *log, "--log-opt", "cache-disabled=true", "busybox", "true")
    assert "configured logging driver does not support reading" in moord.run("logs", "bare").stderr
