"""What the drivers that send to a server accept, and Docker's words when they do not."""

from pathlib import Path

import pytest

from moorage.logs.attributes import LoggedContainer
from moorage.logs.errors import LogDriverStartError, LogOptionError
from moorage.logs.options import log_plan, readable_path, validate_log_options

CONTAINER = LoggedContainer(
    id="0123456789abcdef" * 4,
    name="web",
    image_id="sha256:" + "fedcba9876543210" * 4,
    image_name="nginx",
    labels={"com.example": "1"},
    env=["A=b"],
    command=["sh", "-c", "true"],
    created="2026-01-01T00:00:00Z",
    hostname="box",
)


def settings(driver: str, **options: str) -> dict[str, object]:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    validate_log_options(driver, named)
    plan = log_plan(driver, named, path=Path("/c/container-cached.log"), container=CONTAINER)["delivery"]
    assert plan is not None
    return plan["driver"]


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("syslog", {"x": "1"}, "unknown log opt 'x' for syslog log driver"),
        ("syslog", {"syslog-address": "http://h"}, "unsupported scheme: 'http'"),
        ("syslog", {"syslog-address": "unix:///nowhere"}, "stat /nowhere: no such file or directory"),
        (
            "syslog",
            {"syslog-address": "1.2.3.4:514"},
            'parse "1.2.3.4:514": first path segment in URL cannot contain colon',
        ),
        ("syslog", {"syslog-facility": "fun"}, "invalid syslog facility"),
        ("syslog", {"syslog-facility": "24"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "fun"}, "Invalid syslog format"),
        ("journald", {"x": "1"}, "unknown log opt 'x' for journald log driver"),
        ("gelf", {}, "gelf-address is a required parameter"),
        ("gelf", {"gelf-address": "host:1"}, "gelf-address should be in form proto://address, got host:1"),
        ("gelf", {"gelf-address": "unix:///x"}, "gelf: endpoint needs to be TCP or UDP"),
        ("gelf", {"gelf-address": "udp://host"}, "gelf: please provide gelf-address as proto://host:port"),
        ("gelf", {"gelf-address": "udp://h:1", "x": "1"}, 'unknown log opt "x" for gelf log driver'),
        (
            "gelf",
            {"gelf-address": "udp://h:1", "gelf-compression-level": "10"},
            'unknown value "10" for log opt "gelf-compression-level" for gelf log driver',
        ),
        (
            "gelf",
            {"gelf-address": "udp://h:1", "gelf-compression-type": "xz"},
            'unknown value "xz" for log opt "gelf-compression-type" for gelf log driver',
        ),
        (
            "gelf",
            {"gelf-address": "tcp://h:1", "gelf-compression-type": "gzip"},
            "compression is only supported on UDP",
        ),
        (
            "gelf",
            {"gelf-address": "udp://h:1", "gelf-tcp-max-reconnect": "1"},
            '"gelf-tcp-max-reconnect" is only valid for TCP',
        ),
        (
            "gelf",
            {"gelf-address": "tcp://h:1", "gelf-tcp-reconnect-delay": "-1"},
            '"gelf-tcp-reconnect-delay" must be a positive integer',
        ),
        ("fluentd", {"x": "1"}, "unknown log opt 'x' for fluentd log driver"),
        ("fluentd", {"fluentd-address": "://"}, 'invalid fluentd-address (://): parse "://": missing protocol scheme'),
        ("fluentd", {"fluentd-address": "udp://h"}, "invalid fluentd-address (udp://h): unsupported scheme: 'udp'"),
        ("fluentd", {"fluentd-address": "h/x"}, "invalid fluentd-address (h/x): should not contain a path element"),
        ("fluentd", {"fluentd-address": "unix://"}, "invalid fluentd-address (unix://): path is empty"),
        ("fluentd", {"fluentd-buffer-limit": "x"}, "invalid size: 'x'"),
        ("fluentd", {"fluentd-retry-wait": "x"}, 'time: invalid duration "x"'),
        ("fluentd", {"fluentd-max-retries": "-1"}, 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("fluentd", {"fluentd-async": "si"}, 'strconv.ParseBool: parsing "si": invalid syntax'),
        (
            "fluentd",
            {"fluentd-async-reconnect-interval": "99ms"},
            'invalid value for fluentd-async-reconnect-interval: value ("99ms") must be between 100ms and 10s',
        ),
        (
            "fluentd",
            {"fluentd-write-timeout": "-1s"},
            "invalid value for fluentd-write-timeout: value must be a duration that is non-negative",
        ),
        ("syslog", {"cache-disabled": "x"}, "invalid value for option cache-disabled: x"),
        *(
            (name, {}, f"logger: no log driver named '{name}' is registered")
            for name in ("splunk", "awslogs", "gcplogs")
        ),
    ],
)
def test_bad_option_is_refused_at_creation(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(LogOptionError) as caught:
        validate_log_options(driver, options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp://1.2.3.4", {"network": "udp", "host": "1.2.3.4", "port": 514}),
        ("tcp://[::1]:99", {"network": "tcp", "host": "::1", "port": 99}),
        ("unixgram:///dev", {"network": "unixgram", "path": "/dev"}),
    ],
)
def test_syslog_addresses(text: str, address: dict[str, object]) -> None:
    assert settings("syslog", syslog_address=text)["address"] == address


def test_syslog_defaults_and_numbers() -> None:
    plain = settings("syslog")
    assert "address" not in plain
    assert (plain["facility"], plain["tag"], plain["hostname"]) == (24, "0123456789ab", "box")
    assert settings("syslog", syslog_facility="local7")["facility"] == 23 << 3
    assert settings("syslog", syslog_facility="4")["facility"] == 32


def test_syslog_counts_octets_over_tls_only(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    options = {"syslog_address": "tcp+tls://h", "syslog_format": "rfc5424", "syslog_tls_ca_cert": str(ca)}
    with pytest.raises(LogDriverStartError, match="could not read CA certificate"):
        settings("syslog", **options)
    ca.touch()
    secure = settings("syslog", **options)
    assert secure["counted"] is True
    assert settings("syslog", syslog_address="tcp://h", syslog_format="rfc5424")["counted"] is False


def test_gelf_extra_fields() -> None:
    plan = settings("gelf", gelf_address="udp://h:1", labels="com.example", env="A", tag="{{.Name}}")
    assert plan["extra"] == {
        "_command": "sh -c true",
        "_container_id": CONTAINER.id,
        "_container_name": "web",
        "_created": "2026-01-01T00:00:00Z",
        "_image_id": CONTAINER.image_id,
        "_image_name": "nginx",
        "_tag": "web",
        "_com.example": "1",
        "_A": "b",
    }


def test_journald_fields() -> None:
    assert settings("journald", labels="com.example")["fields"] == {
        "CONTAINER_ID": "0123456789ab",
        "CONTAINER_ID_FULL": CONTAINER.id,
        "CONTAINER_NAME": "web",
        "CONTAINER_TAG": "0123456789ab",
        "IMAGE_NAME": "nginx",
        "SYSLOG_IDENTIFIER": "0123456789ab",
        "COM_EXAMPLE": "1",
    }


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", {"network": "tcp", "host": "127.0.0.1", "port": 24224}),
        ("example.com:", {"network": "tcp", "host": "example.com", "port": 24224}),
        ("tls://", {"network": "tls", "host": "127.0.0.1", "port": 24224}),
        ("unix:///a:80", {"network": "unix", "path": "/a:80"}),
    ],
)
def test_fluentd_addresses(text: str, address: dict[str, object]) -> None:
    assert settings("fluentd", fluentd_address=text)["address"] == address


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, (None, False)),
        ({"mode": "non-blocking"}, (1_000_000, False)),
        ({"mode": "non-blocking", "max-buffer-size": "2k"}, (2048, False)),
        ({"fluentd-async": "true"}, (1024 * 1024, True)),
        ({"fluentd-async": "true", "fluentd-buffer-limit": "3"}, (3, True)),
    ],
)
def test_what_may_wait_to_be_sent(options: dict[str, str], limit: tuple[int | None, bool]) -> None:
    plan = log_plan("fluentd", options, path=None, container=CONTAINER)["delivery"]
    assert plan is not None
    assert (plan["limit"], plan["limit_in_lines"]) == limit


def test_cache_is_a_local_log_of_its_own_size() -> None:
    options = {"cache-max-size": "1m", "cache-max-file": "2", "cache-compress": "false"}
    plan = log_plan("journald", options, path=Path("/c/container-cached.log"), container=CONTAINER)
    assert (plan["driver"], plan["max_size"], plan["max_file"], plan["compress"]) == ("local", 1_000_000, 2, False)


def test_cache_may_be_switched_off() -> None:
    assert readable_path("syslog", {}, Path("/c"), "id") == Path("/c/container-cached.log")
    assert readable_path("syslog", {"cache-disabled": "true"}, Path("/c"), "id") is None
    assert log_plan("syslog", {}, path=None, container=CONTAINER)["driver"] == "none"
