"""Go's words about broken JSON. The expected ones were printed by a Go program."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.malformed import complaint
from moorage.api.wire import MalformedBodyError, Model, read_json


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "unexpected EOF"),
        (b" {", "unexpected EOF"),
        (b'{"a":tr', "unexpected EOF"),
        (b"[1,-", "unexpected EOF"),
        (b"{invalid", "invalid character 'i' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a":}', "invalid character '}' looking for beginning of value"),
        (b"}", "invalid character '}' looking for beginning of value"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"'", r"invalid character '\'' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":01}', "invalid character '1' after object key:value pair"),
        (b'{"a":[{"b":{}} "c"', "invalid character '\"' after array element"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b"fa1se", "invalid character '1' in literal false (expecting 'l')"),
        (b"nulX", "invalid character 'X' in literal null (expecting 'l')"),
        (b'"\x01"', r"invalid character '\x01' in string literal"),
        (b'"\n"', r"invalid character '\n' in string literal"),
        (rb'"\x"', "invalid character 'x' in string escape code"),
        (rb'"\u12x"', r"invalid character 'x' in \u hexadecimal character escape"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b'{"a":1.5e+x}', "invalid character 'x' in exponent of numeric literal"),
        ("{é".encode(), "invalid character 'Ã' looking for beginning of object key string"),
        (b"\x80", r"invalid character '\u0080' looking for beginning of value"),
    ],
)
def test_the_first_fault_is_named_as_go_does(text: bytes, words: str) -> None:
    assert complaint(text) == words


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_nothing_is_wrong_with_json(value: object) -> None:
    assert complaint(json.dumps(value).encode()) == ""


@given(st.text(alphabet='{}[]",:truefalsn0123456789.eE+- \\"u', max_size=12))
def test_every_text_that_does_not_decode_has_its_words(text: str) -> None:
    # What comes behind a whole document is not its fault, so it must be in brackets; a number may be too large.
    text = f"[{text}"
    try:
        msgspec.json.decode(text.encode())
    except msgspec.DecodeError as error:
        reason = str(error)
    else:
        reason = ""
    assert bool(complaint(text.encode())) == bool(reason) or "trailing" in reason or "out of range" in reason


class _Thing(Model):
    size: int = 0


def test_a_broken_body_is_answered_in_go_s_words() -> None:
    with pytest.raises(MalformedBodyError, match=r"^invalid JSON: invalid character 's' looking"):
        read_json(b"{size}", _Thing)
