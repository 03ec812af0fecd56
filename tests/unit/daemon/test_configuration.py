"""Command line and daemon.json become one value, and nothing is ignored in silence."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moorage.daemon.config import KNOWN_KEYS, ConfigurationError, load
from moorage.daemon.lock import AlreadyRunningError, PidFileError, only_daemon, pid_file
from moorage.daemon.options import UNSUPPORTED, parse
from moorage.errors import MoorageError


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


def test_every_key_is_documented() -> None:
    page = Path(__file__).parents[3] / "docs" / "daemon.md"
    written = set(re.findall(r"`([a-z0-9-]+)`", page.read_text()))
    assert KNOWN_KEYS - written == set()


def test_the_command_line(file: Path) -> None:
    made = config(
        file, "-H", "unix:///a.sock", "-H", "1.2.3.4:5", "--exec-root=/x", "-D", "--icc=false", "--mtu", "1400",
        "--log-opt", "max-size=1m", "--default-ulimit", "nofile=1:2", "--add-runtime", "r=/bin/r",
        "--default-network-opt", "bridge=com.docker.network.driver.mtu=9000", "--default-network-opt", "bridge=a=b=c",
        "--default-address-pool", "base=10.0.0.0/8,size=24", "--default-shm-size", "128m",
    )  # fmt: skip
    assert made.hosts == ("unix:///a.sock", "tcp://1.2.3.4:5")
    assert config(file, "-H", "unix:///a.sock", "-H", "unix:///a.sock").hosts == ("unix:///a.sock",)
    assert (made.debug, made.icc, made.mtu) == (True, False, 1400)
    options = {"bridge": {"com.docker.network.driver.mtu": "9000", "a": "b=c"}}
    assert made.network_options == config(file, **{"default-network-opts": options}).network_options == options
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
        ({"signing": {}}, "invalid value for signing: a list of objects with scope and key is needed"),
        ({"signing": [{"scope": "h"}]}, "invalid value for signing: an entry has scope and key"),
        ({"signing": [{"scope": "h", "key": 1}]}, "invalid value for signing: scope, key and password-file"),
        ({"signature-policy": 1}, "invalid value for signature-policy: a text is needed"),
        ({"nonsense": 1}, "the following directives don't match any configuration option: nonsense"),
        ({"default-gateway": "10.0.0.1"}, "the directive default-gateway is not supported"),
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


#: The keys of dockerd's daemon.json.
KEYS = """
    allow-direct-routing authorization-plugins bip bip6 bridge bridge-accept-fwmark builder cdi-spec-dirs cgroup-parent
    containerd containerd-namespace containerd-plugins-namespace cpu-rt-period cpu-rt-runtime data-root debug
    default-address-pools default-cgroupns-mode default-gateway default-gateway-v6 default-init default-ipc-mode
    default-network-opts default-runtime default-shm-size default-stop-timeout default-ulimits dns dns-opts dns-search
    exec-opts exec-root experimental features firewall-backend fixed-cidr fixed-cidr-v6 group host-gateway-ip
    host-gateway-ips hosts proxies icc init init-path insecure-registries ip ip-forward ip-forward-no-drop ip-masq
    ip6tables iptables ipv6 labels live-restore log-driver log-format log-level log-opts max-concurrent-downloads
    max-concurrent-uploads max-download-attempts metrics-addr min-api-version mtu network-control-plane-mtu
    network-diagnostic-port no-new-privileges node-generic-resources nri-opts pidfile raw-logs registry-mirrors
    resolv-conf rootless runtimes seccomp-profile selinux-enabled shutdown-timeout storage-driver storage-opts
    swarm-default-advertise-addr swarm-raft-heartbeat-tick swarm-raft-election-tick tls tlscacert tlscert tlskey
    tlsverify userland-proxy userland-proxy-path userns-remap
""".split()


@pytest.mark.parametrize("key", KEYS)
def test_no_key_is_ignored_in_silence(file: Path, key: str) -> None:
    # No key takes a value of this type.
    with pytest.raises(ConfigurationError, match=key):
        config(file, **{key: {"no": {"Hard": ["value"]}}})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"iptables": False}, "iptables=false is not supported by Moorage"),
        (
            {"exec-opts": ["native.cgroupdriver=none"]},
            "option none is internally used and cannot be specified manually",
        ),
        ({"exec-opts": ["native.cgroupdriver=x"]}, "native.cgroupdriver option x not supported"),
        ({"exec-opts": ["isolation=x"]}, "unknown option: 'isolation'"),
        ({"features": {"containerd-snapshotter": True}}, "the feature containerd-snapshotter is not supported"),
        ({"min-api-version": "1.20"}, "minimum supported API version is 1.24: 1.20"),
        ({"min-api-version": "1.99"}, "maximum supported API version is"),
        ({"log-format": "xml"}, "invalid value for log-format: 'xml' is none of text, json"),
    ],
)
def test_values_that_cannot_be_had_are_named(file: Path, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        config(file, **settings)


def test_systemd_makes_cgroups_in_slices(file: Path) -> None:
    driver = {"exec-opts": ["native.cgroupdriver=systemd"]}
    assert config(file, **driver, **{"cgroup-parent": "my.slice"}).cgroup_driver == "systemd"
    with pytest.raises(MoorageError, match="should be a valid slice named as"):
        config(file, **driver, **{"cgroup-parent": "/my"})


def test_directories_of_devices_can_be_named_and_turned_off(file: Path) -> None:
    assert config(file, **{"cdi-spec-dirs": ["/a", "/b"]}).cdi_spec_dirs == (Path("/a"), Path("/b"))
    for off in ({"cdi-spec-dirs": [""]}, {"features": {"cdi": False}}):
        assert config(file, **off).cdi_spec_dirs == ()


def test_values_that_change_nothing_are_taken(file: Path) -> None:
    config(
        file,
        **{
            "iptables": True, "ip6tables": True, "userland-proxy": False, "raw-logs": True, "selinux-enabled": True,
            "exec-opts": ["native.cgroupdriver=cgroupfs"], "features": {"containerd-snapshotter": False},
        },
    )  # fmt: skip


def test_proxies_and_versions(file: Path) -> None:
    made = config(file, proxies={"http-proxy": "http://p:3128", "no-proxy": "lab"})
    assert made.proxies == {"http": "http://p:3128", "no": "lab"}
    made = config(file, "--https-proxy", "http://p:1", "--min-api-version=1.44", "--metrics-addr=127.0.0.1:9323")
    assert made.proxies == {"https": "http://p:1"}
    assert str(made.minimum_api_version) == "1.44"
    assert made.metrics_address == "127.0.0.1:9323"
    file.write_text("{}")
    oldest = load({"config_file": str(file)}, environment={"DOCKER_MIN_API_VERSION": "1.41"})
    assert str(oldest.minimum_api_version) == "1.41"


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


def test_authorization_plugins_are_named_in_the_file_or_by_options(file: Path) -> None:
    assert config(file).authorization_plugins == ()
    assert config(file, **{"authorization-plugins": ["b", "a"]}).authorization_plugins == ("b", "a")
    by_options = config(file, "--authorization-plugin", "b", "--authorization-plugin=a")
    assert by_options.authorization_plugins == ("b", "a")
