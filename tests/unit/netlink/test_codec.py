"""Netlink messages: what is packed is what is parsed, and rubbish is noticed."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.netlink import codec

KINDS = st.integers(0, 0x3FFF)
ATTRIBUTES = st.lists(st.tuples(KINDS, st.binary(max_size=64)), max_size=8)


@given(ATTRIBUTES)
def test_attributes_come_back_in_order(given_pairs: list[tuple[int, bytes]]) -> None:
    packed = b"".join(codec.attribute(kind, payload) for kind, payload in given_pairs)
    assert len(packed) % 4 == 0
    assert list(codec.attribute_pairs(packed)) == given_pairs


@given(KINDS, ATTRIBUTES)
def test_a_nested_attribute_loses_its_mark_and_keeps_its_children(kind: int, inner: list[tuple[int, bytes]]) -> None:
    packed = codec.nested(kind, *(codec.attribute(one, payload) for one, payload in inner))
    ((parsed_kind, payload),) = codec.attribute_pairs(packed)
    assert parsed_kind == kind
    assert list(codec.attribute_pairs(payload)) == inner


@given(st.lists(st.tuples(st.integers(16, 0xFFFF), st.binary(max_size=40)), max_size=6))
def test_messages_come_back_in_order(sent: list[tuple[int, bytes]]) -> None:
    buffer = b""
    for sequence, (kind, body) in enumerate(sent):
        padded = body + bytes(-len(body) % 4)
        buffer += codec.header(codec.Message(kind, 0, padded), flags=5, sequence=sequence) + padded
    received = [(kind, sequence) for kind, _, sequence, _ in codec.messages(buffer)]
    assert received == [(kind, sequence) for sequence, (kind, _) in enumerate(sent)]


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_value_error(data: bytes) -> None:
    for parse in (codec.messages, codec.attribute_pairs):
        try:
            list(parse(data))
        except ValueError:
            continue


def test_a_cut_message_is_noticed() -> None:
    packed = codec.header(codec.Message(20, 0, bytes(8)), flags=0, sequence=1) + bytes(8)
    with pytest.raises(ValueError, match="24 bytes in the last 20"):
        list(codec.messages(packed[:-4]))


def test_an_error_carries_the_kernels_explanation() -> None:
    capped = struct.pack("=i", -17) + bytes(codec.HEADER_LENGTH) + codec.text(1, "Bridge exists")
    assert codec.error_number(capped) == 17
    assert codec.error_text(capped, 0x300) == "Bridge exists"
    assert codec.error_text(capped, 0) == ""
    request = struct.pack("=IHHII", 24, 16, 5, 1, 0) + bytes(8)
    whole = struct.pack("=i", -22) + request + codec.text(1, "No")
    assert codec.error_text(whole, 0x200) == "No"
