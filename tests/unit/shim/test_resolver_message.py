"""DNS messages: whatever comes in, and what goes out."""

import ipaddress
import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from moorage.shim.resolver import message

LABELS = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=20)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)


def question(name: str, kind: int = message.A, *, extra: bytes = b"", additional: int = 0) -> bytes:
    header = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, additional)
    return header + message.encode_name(name) + struct.pack("!HH", kind, 1) + extra


def read(data: bytes) -> message.Query:
    query = message.read_query(data)
    assert query is not None
    return query


def flags_and_count(answer: bytes) -> tuple[int, int]:
    _, flags, _, answers, _, _ = struct.unpack_from("!HHHHHH", answer)
    return flags, answers


@given(st.binary(max_size=600))
def test_no_bytes_make_the_reader_fail(data: bytes) -> None:
    message.read_query(data)
    query = message.read_query(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01" + data)
    if query:
        assert message.failure(query, message.SERVER_FAILURE)[:2] == b"\x12\x34"


@given(NAMES, st.sampled_from([message.A, message.AAAA, 15]))
def test_a_question_is_read_as_it_was_asked(name: str, kind: int) -> None:
    query = read(question(name.upper(), kind))
    assert (query.id, query.name, query.kind, query.limit) == (0x1234, name, kind, 512)


def test_an_answer_has_the_addresses_of_the_family_asked_for() -> None:
    found = ["172.18.0.2", "fd00::2"]
    answer = message.addresses(read(question("web")), found, ttl=600, stream=False)
    assert answer.startswith(b"\x12\x34\x81\x80")
    assert answer.endswith(struct.pack("!HHIH", 1, 1, 600, 4) + socket.inet_aton("172.18.0.2"))
    six = message.addresses(read(question("web", message.AAAA)), found, ttl=600, stream=False)
    assert six.endswith(socket.inet_pton(socket.AF_INET6, "fd00::2"))


def test_a_name_without_an_address_of_the_family_exists_all_the_same() -> None:
    answer = message.addresses(read(question("web", message.AAAA)), ["172.18.0.2"], ttl=600, stream=False)
    assert flags_and_count(answer) == (0x8180, 0)


def test_more_than_fits_is_cut_and_said_so_but_not_in_a_stream() -> None:
    found = [f"10.0.0.{number}" for number in range(1, 101)]
    cut = message.addresses(read(question("web")), found, ttl=600, stream=False)
    flags, count = flags_and_count(cut)
    assert len(cut) <= 512
    assert flags & 0x0200
    assert 0 < count < 100
    assert flags_and_count(message.addresses(read(question("web")), found, ttl=600, stream=True))[1] == 100


def test_a_client_may_take_larger_datagrams() -> None:
    option = b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)
    assert read(question("web", extra=option, additional=1)).limit == 4096


@given(st.ip_addresses())
def test_the_name_of_a_pointer_is_its_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert ipaddress.ip_address(message.address_of_pointer(address.reverse_pointer)) == address


def test_other_names_ask_for_no_address() -> None:
    for name in ("web", "x.in-addr.arpa", "1.2.3.in-addr.arpa", "999.0.0.1.in-addr.arpa", "z.ip6.arpa"):
        assert message.address_of_pointer(name) == ""
