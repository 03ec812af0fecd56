"""What drivers send, read back by other means."""

import gzip
import json
import re
import struct
import time
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.logs import gelf
from moorage.logs.fluentd import ForwardEncoder, pack, read_ack
from moorage.logs.journald import JournalEncoder, field_name
from moorage.logs.messages import Message, Part
from moorage.logs.syslog import SyslogEncoder

AT = 1_700_000_000_123_456_789
OUT = Message("stdout", b"hello", AT)
ERROR = Message("stderr", b"oh \xff", AT)
PART = Message("stdout", b"x", AT, Part("name", 2, is_last=False))


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()


def syslog(form: str, *, counted: bool = False) -> SyslogEncoder:
    return SyslogEncoder({"facility": 24, "format": form, "tag": "web", "hostname": "box", "counted": counted}, pid=42)


@pytest.mark.parametrize(
    ("form", "packet"),
    [
        ("", b"<30>Nov 15 00:13:20 web[42]: hello\n"),
        ("rfc3164", b"<30>Nov 15 00:13:20 box web[42]: hello\n"),
        ("rfc5424", b"<30>1 2023-11-15T00:13:20+02:00 box web 42 web - hello\n"),
        ("rfc5424micro", b"<30>1 2023-11-15T00:13:20.123456+02:00 box web 42 web - hello\n"),
    ],
)
def test_syslog_has_four_forms(form: str, packet: bytes) -> None:
    assert syslog(form).encode([OUT]) == [packet]


def test_syslog_tells_errors_by_their_severity_and_skips_empty_lines() -> None:
    assert syslog("").encode([ERROR, Message("stdout", b"", AT)]) == [b"<27>Nov 15 00:13:20 web[42]: oh \xff\n"]


def test_syslog_over_tls_counts_octets() -> None:
    [packet] = syslog("rfc5424", counted=True).encode([OUT])
    length, _, rest = packet.partition(b" ")
    assert int(length) == len(rest)


def journal_fields(entry: bytes) -> dict[str, bytes]:
    """Read an entry as systemd's documentation says."""
    fields, position = {}, 0
    while position < len(entry):
        end = entry.index(b"\n", position)
        name, equals, value = entry[position:end].partition(b"=")
        position = end + 1
        if not equals:
            (size,) = struct.unpack_from("<Q", entry, position)
            value = entry[position + 8 : position + 8 + size]
            assert entry[position + 8 + size : position + 9 + size] == b"\n"
            position += 9 + size
        fields[name.decode()] = value
    return fields


@given(st.binary(), st.text())
def test_journal_entries_hold_any_bytes(text: bytes, tag: str) -> None:
    [entry] = JournalEncoder({"CONTAINER_TAG": tag}, epoch="e").encode([Message("stderr", text, AT)])
    assert journal_fields(entry) == {
        "PRIORITY": b"3",
        "MESSAGE": text,
        "CONTAINER_TAG": tag.encode(errors="replace"),
        "CONTAINER_LOG_EPOCH": b"e",
        "CONTAINER_LOG_ORDINAL": b"1",
        "SYSLOG_TIMESTAMP": b"2023-11-14T22:13:20.123456789Z",
    }


def test_journal_entries_tell_of_parts() -> None:
    first, second = JournalEncoder({}).encode([PART, Message("stdout", b"y", AT, Part("name", 3, is_last=True))])
    found = journal_fields(first)
    assert found["CONTAINER_PARTIAL_MESSAGE"] == b"true"
    assert (found["CONTAINER_PARTIAL_ID"], found["CONTAINER_PARTIAL_ORDINAL"]) == (b"name", b"2")
    assert found["CONTAINER_PARTIAL_LAST"] == b"false"
    assert "CONTAINER_PARTIAL_MESSAGE" not in journal_fields(second)
    assert journal_fields(second)["CONTAINER_LOG_ORDINAL"] == b"2"


@given(st.text())
def test_journal_field_names_are_allowed_ones(text: str) -> None:
    assert re.fullmatch(r"([A-Z0-9][A-Z0-9_]*)?", field_name(text))


def test_journal_field_names_are_those_of_docker() -> None:
    assert field_name("__com.example-app") == "COM_EXAMPLE_APP"


def test_gelf_has_its_fields() -> None:
    (payload,) = gelf.GelfEncoder("box", {"_tag": "t"}).encode([ERROR, Message("stdout", b"", AT)])
    assert json.loads(payload) == {
        "version": "1.1",
        "host": "box",
        "short_message": "oh \N{REPLACEMENT CHARACTER}",
        "timestamp": 1700000000.123,
        "level": 3,
        "_tag": "t",
    }


@given(st.binary(max_size=6000), st.sampled_from(["none", "gzip", "zlib"]))
def test_gelf_chunks_make_the_payload(payload: bytes, compression: str) -> None:
    packets = gelf.datagrams(payload, compression=compression, level=1, identify=lambda: b"12345678")
    assert all(len(packet) <= gelf.CHUNK_SIZE for packet in packets)
    if len(packets) > 1:
        assert [packet[:12] for packet in packets] == [
            b"\x1e\x0f12345678" + bytes((number, len(packets))) for number in range(len(packets))
        ]
        packets = [packet[12:] for packet in packets]
    whole = b"".join(packets)
    match compression:
        case "gzip":
            whole = gzip.decompress(whole)
        case "zlib":
            whole = zlib.decompress(whole)
    assert whole == payload


def test_gelf_refuses_what_no_number_of_chunks_holds() -> None:
    with pytest.raises(gelf.GelfTooLongError):
        gelf.datagrams(bytes(200_000), compression="none", level=0)


@given(
    st.dictionaries(st.text(max_size=300), st.text(max_size=70_000), max_size=20)
    | st.text()
    | st.integers(min_value=0, max_value=2**64 - 1)
)
def test_packed_values_are_read_by_others(value: object) -> None:
    assert msgspec.msgpack.decode(pack(value)) == value


def test_forward_events_have_docker_s_record() -> None:
    encoder = ForwardEncoder("web.app", {"container_name": "/web"}, sub_second=False, wants_ack=False)
    [(event, name), (part, _)] = encoder.encode([OUT, PART])
    assert name == ""
    record = {"source": "stdout", "log": "hello", "container_name": "/web"}
    assert msgspec.msgpack.decode(event) == ["web.app", 1_700_000_000, record, {}]
    assert msgspec.msgpack.decode(part)[2] == record | {
        "log": "x",
        "partial_message": "true",
        "partial_id": "name",
        "partial_ordinal": "2",
        "partial_last": "false",
    }


@pytest.mark.parametrize("count", [0, 9, 10, 13, 14, 300])
def test_forward_events_hold_any_number_of_fields(count: int) -> None:
    extra = {str(number): "x" for number in range(count)}
    encoder = ForwardEncoder("t", extra, sub_second=False, wants_ack=False)
    for message, more in ((OUT, 2), (PART, 6)):
        [(event, _)] = encoder.encode([message])
        assert len(msgspec.msgpack.decode(event)[2]) == count + more


def test_forward_events_may_have_finer_times_and_names() -> None:
    encoder = ForwardEncoder("t", {}, sub_second=True, wants_ack=True, identify=lambda: "id")
    [(event, name)] = encoder.encode([OUT])
    _, at, _, option = msgspec.msgpack.decode(event)
    assert at == msgspec.msgpack.Ext(0, struct.pack(">II", 1_700_000_000, 123_456_789))
    assert (name, option) == ("id", {"chunk": "id"})


@given(st.text(min_size=1, max_size=200).filter(lambda text: len(text.encode()) < 256))
def test_confirmations_are_found_once_they_are_whole(name: str) -> None:
    answer = msgspec.msgpack.encode({"ack": name})
    assert read_ack(answer) == name
    assert not any(read_ack(answer[:size]) for size in range(len(answer)))
