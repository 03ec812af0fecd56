"""Quantities, ports, mounts, environment, filters, tables: text in, values out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.containers import PortSummary
from moorage.cli.environment import FileFlagError, environment, labels
from moorage.cli.filters import InvalidTimeError, check_time, parse_filters
from moorage.cli.grammar import FlagValueError
from moorage.cli.listing import ports_text
from moorage.cli.mount_syntax import MountSyntaxError, parse_mount
from moorage.cli.ports import InvalidPortError, expose, publish
from moorage.cli.quantities import parse_bytes, parse_cpus, parse_duration, parse_swap
from moorage.cli.tables import human_size, shortened, table


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("10", 10), ("1k", 1024), ("1.5g", 3 << 29), ("2MiB", 2 << 20), ("3 GB", 3 << 30), ("1T", 1 << 40)],
)
def test_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "x", "-1", "1x", "k", "1kk", "0x10"])
def test_no_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        parse_bytes(text)


def test_only_swap_may_be_unlimited() -> None:
    assert parse_swap("-1") == -1


@given(st.integers(0, 2**50))
def test_plain_numbers_are_bytes(count: int) -> None:
    assert parse_bytes(str(count)) == count


@pytest.mark.parametrize(
    ("text", "nanoseconds"), [("0", 0), ("1s", 10**9), ("1m30s", 90 * 10**9), ("1.5ms", 1_500_000)]
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "billionths"), [("1", 10**9), ("0.5", 5 * 10**8), (".25", 25 * 10**7), ("2.", 2 * 10**9)]
)
def test_processors(text: str, billionths: int) -> None:
    assert parse_cpus(text) == billionths


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80", {"80/tcp": [("", "")]}),
        ("8080:80", {"80/tcp": [("", "8080")]}),
        ("127.0.0.1:8080:80/udp", {"80/udp": [("127.0.0.1", "8080")]}),
        ("127.0.0.1::80", {"80/tcp": [("127.0.0.1", "")]}),
        ("[::1]:8080:80", {"80/tcp": [("::1", "8080")]}),
        ("8000-8001:80-81", {"80/tcp": [("", "8000")], "81/tcp": [("", "8001")]}),
        ("8000-8010:80", {"80/tcp": [("", "8000-8010")]}),
    ],
)
def test_published_ports(text: str, found: dict[str, list[tuple[str, str]]]) -> None:
    bindings = {port: [(each.host_ip, each.host_port) for each in many or ()] for port, many in publish([text]).items()}
    assert bindings == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", "invalid containerPort: abc"),
        ("99999:80", "invalid hostPort: 99999"),
        ("80/foo", "invalid proto: foo"),
        ("1-2:1-3", "invalid ranges specified"),
    ],
)
def test_ports_that_are_none(text: str, words: str) -> None:
    with pytest.raises(InvalidPortError, match=words):
        publish([text])


@given(st.text(max_size=12))
def test_any_text_is_ports_or_refused(text: str) -> None:
    try:
        publish([text])
        expose([text])
    except InvalidPortError:
        pass


def test_a_mount_of_each_type() -> None:
    bind = parse_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave")
    assert (bind.source, bind.target, bind.read_only) == ("/a", "/b", True)
    assert bind.bind_options is not None
    assert bind.bind_options.propagation == "rslave"
    volume = parse_mount("source=data,target=/data,volume-nocopy,volume-label=a=b")
    assert volume.volume_options is not None
    assert (volume.type, volume.volume_options.no_copy, volume.volume_options.labels) == ("volume", True, {"a": "b"})
    tmpfs = parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770")
    assert tmpfs.tmpfs_options is not None
    assert (tmpfs.tmpfs_options.size_bytes, tmpfs.tmpfs_options.mode) == (1 << 20, 0o1770)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=bind", "target is required"),
        ("foo,target=/x", "invalid field 'foo' must be a key=value pair"),
        ("bar=1,target=/x", "unexpected key 'bar' in 'bar=1'"),
        ("type=bind,target=/x,tmpfs-size=1m", "cannot mix 'tmpfs-"),
        ("target=/x,readonly=maybe", "invalid value for readonly: maybe"),
    ],
)
def test_mounts_that_are_none(text: str, words: str) -> None:
    with pytest.raises(MountSyntaxError, match=words):
        parse_mount(text)


def test_environment_of_files_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\n\nA=1\nOWN\nMISSING\n  B=two words\n")
    assert environment(["C=3", "OWN"], [str(file)], own={"OWN": "me"}) == [
        "A=1",
        "OWN=me",
        "B=two words",
        "C=3",
        "OWN=me",
    ]
    assert labels(["x", "y=z"], [str(file)])["A"] == "1"


@pytest.mark.parametrize(("line", "words"), [("=x", "no variable name"), ("a b=c", "contains whitespaces")])
def test_bad_environment_files(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "env").write_text(line)
    with pytest.raises(FileFlagError, match=words):
        environment([], [str(tmp_path / "env")], own={})


def test_a_missing_environment_file() -> None:
    with pytest.raises(FileFlagError, match="open /no/such: no such file or directory"):
        environment([], ["/no/such"], own={})


def test_filters() -> None:
    assert parse_filters(["label=a=b", "label=c", "Name=x"]).values == {"label": ("a=b", "c"), "name": ("x",)}
    with pytest.raises(FlagValueError, match="bad format of filter"):
        parse_filters(["x"])


def test_times_are_checked_before_they_are_sent() -> None:
    assert check_time("10m") == "10m"
    assert check_time("2026-01-02T03:04:05Z") == "2026-01-02T03:04:05Z"
    with pytest.raises(InvalidTimeError, match='invalid value for "since": failed to parse'):
        check_time("foo", flag="since")


def test_neighbouring_ports_are_printed_as_a_range() -> None:
    def port(private: int, public: int = 0, ip: str = "", kind: str = "tcp") -> PortSummary:
        return PortSummary(private_port=private, public_port=public, ip=ip, type=kind)

    assert ports_text([port(80), port(81), port(83)]) == "80-81/tcp, 83/tcp"
    assert ports_text([port(80, 8080, "0.0.0.0"), port(80, 8080, "::")]) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    same = [port(number, number, "0.0.0.0") for number in (80, 81, 90)]
    assert ports_text(same) == "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:90->90/tcp"
    moved = [port(80, 8080, "0.0.0.0"), port(81, 8081, "0.0.0.0")]
    assert ports_text([*moved, port(82)]) == "82/tcp, 0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/tcp"


def test_sizes_and_columns() -> None:
    assert human_size(1234567) == "1.235MB"
    assert human_size(1982286, digits=3) == "1.98MB"
    assert shortened("abcdef", 4) == "abc…"
    assert table([["A", "B"], ["x" * 12, "y"]]) == "A" + " " * 14 + "B\n" + "x" * 12 + "   y\n"
