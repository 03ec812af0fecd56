"""Command line and daemon.json become one value, and nothing is ignored in silence."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moorage.daemon.config import ConfigurationError, load
from moorage.daemon.lock import AlreadyRunningError, PidFileError, only_daemon, pid_file
from moorage.daemon.options import UNSUPPORTED, parse


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "daemon.json"


def config(file: Path, *arguments: str, **settings: Any) -> Any:
    file.write_text(json.dumps(settings))
    options = parse([f"--config-file={file}", *arguments], version="v")
    return load(options, environment={})


def test_defaults(file: Path) -> None:
    made = config(file)
    assert made.hosts == ("unix:///run/moorage/moorage.sock",)
    assert made.default_stop_timeout == 10
    assert made.log.type == "json-file"
    assert made.fault == ""


def test_the_command_line(file: Path) -> None:
    made = config(
        file, "-H", "unix:///a.sock", "-H", "1.2.3.4:5", "--exec-root=/x", "-D", "--icc=false", "--mtu", "1400",
        "--log-opt", "max-size=1m", "--default-ulimit", "nofile=1:2", "--add-runtime", "r=/bin/r",
        "--default-address-pool", "base=10.0.0.0/8,size=24", "--default-shm-size", "128m",
    )  # fmt: skip
    assert made.hosts == ("unix:///a.sock", "tcp://1.2.3.4:5")
    assert (made.debug, made.icc, made.mtu) == (True, False, 1400)
    assert made.log.config == {"max-size": "1m"}
    assert (made.ulimits[0].name, made.ulimits[0].soft, made.ulimits[0].hard) == ("nofile", 1, 2)
    assert made.runtimes["r"].path == "/bin/r"
    assert made.address_pools == (("10.0.0.0/8", 24),)
    assert made.default_shm_size == 128 << 20


def test_daemon_json(file: Path) -> None:
    made = config(
        file,
        **{
            "hosts": ["unix:///b.sock"],
            "runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--x"]}},
            "default-runtime": "crun",
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}},
            "log-opts": {"max-file": "3"},
            "labels": ["a=b"],
            "live-restore": True,
        },
    )
    assert made.default_runtime == "crun"
    assert made.runtimes["crun"].arguments == ("--x",)
    assert made.log.config == {"max-file": "3"}


def test_both_places_conflict(file: Path) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"specified both as a flag and in the configuration file: debug: \(from flag: True, from file: False\)",
    ):
        config(file, "--debug", debug=False)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"nonsense": 1}, "the following directives don't match any configuration option: nonsense"),
        ({"raw-logs": True}, "the directive raw-logs is not supported"),
        ({"live-restore": False}, "live-restore=false is not supported"),
        ({"mtu": "big"}, "invalid value for mtu"),
        ({"debug": 1}, "invalid value for debug"),
        ({"dns": "8.8.8.8"}, "invalid value for dns"),
        ({"default-runtime": "nosuch"}, "specified default runtime 'nosuch' does not exist"),
        ({"runtimes": {"moorage": {"path": "/x"}}}, "reserved"),
        ({"log-level": "loud"}, "invalid logging level: loud"),
        ({"labels": ["x"]}, "bad attribute format: x"),
        ({"tls": True}, "TLS needs"),
        ({"hosts": ["fd://"]}, "fd:// is not supported"),
        ({"storage-driver": "btrfs"}, "storage driver btrfs is not supported"),
    ],
)
def test_wrong_values_are_named(file: Path, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        config(file, **settings)


def test_a_file_that_is_no_json(file: Path) -> None:
    file.write_text("{")
    with pytest.raises(ConfigurationError, match="unable to configure the daemon with file"):
        load({"config_file": str(file)}, environment={})


def test_a_named_file_must_exist(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load({"config_file": str(file)}, environment={})


@pytest.mark.parametrize("name", sorted(UNSUPPORTED)[::7])
def test_a_known_option_that_is_missing_here_is_refused_by_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([f"--{name}=x"], version="v")
    assert caught.value.code == 1
    assert f"the option --{name} is not supported by Moorage" in capsys.readouterr().err


def test_an_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--nonsense"], version="v")
    assert "--nonsense" in capsys.readouterr().err


def test_faults_come_from_the_environment_only(file: Path) -> None:
    file.write_text("{}")
    assert load({"config_file": str(file)}, environment={"MOORAGE_FAULT": "p"}).fault == "p"


def test_one_daemon_per_data_root(tmp_path: Path) -> None:
    with only_daemon(tmp_path), pytest.raises(AlreadyRunningError), only_daemon(tmp_path):
        pass
    with only_daemon(tmp_path):
        pass


def test_a_pid_file_of_a_living_daemon_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with subprocess.Popen(["sh", "-c", "echo; read moord"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        path.write_text(f"{other.pid}\n")
        with pytest.raises(PidFileError, match="is still running"), pid_file(path):
            pass
        other.kill()
        # It is a zombie until it is waited for, and a zombie serves nobody.
        other.stdout.read()
        with pid_file(path):
            assert int(path.read_text()) == os.getpid()


@pytest.mark.parametrize("number", ["1", "999999999", "nonsense", ""])
def test_a_pid_file_of_anybody_else_is_taken_over(tmp_path: Path, number: str) -> None:
    path = tmp_path / "pid"
    path.write_text(number)
    with pid_file(path):
        assert int(path.read_text()) == os.getpid()
    assert not path.exists()
