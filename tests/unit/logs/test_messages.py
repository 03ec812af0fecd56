"""Chunks become messages, whatever their borders."""

from hypothesis import given
from hypothesis import strategies as st

from moorage.logs.encoding import PART_SIZE
from moorage.logs.messages import Message, Splitter


def fed(chunks: list[bytes]) -> list[Message]:
    names = iter(f"line{number}" for number in range(1000))
    splitter = Splitter("stdout", identify=lambda: next(names))
    return [message for chunk in chunks for message in splitter.feed(chunk, 7)] + splitter.finish(8)


@given(st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"a", b"\n"))))
def test_borders_of_chunks_do_not_matter(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    lines = whole.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert [message.text for message in fed(chunks)] == lines
    assert all(message.part is None for message in fed([*chunks, b"\n"]))


def test_long_line_comes_in_parts_that_name_it() -> None:
    text = b"x" * (2 * PART_SIZE + 5)
    messages = fed([b"a\n" + text[:100], text[100:] + b"\nb\n"])
    parts = [message.part for message in messages]
    assert [len(message.text) for message in messages] == [1, PART_SIZE, PART_SIZE, 5, 1]
    assert parts[0] is None
    assert parts[4] is None
    assert [(part.line, part.ordinal, part.is_last) for part in parts if part] == [
        ("line0", 1, False),
        ("line0", 2, False),
        ("line0", 3, True),
    ]


def test_parts_do_not_cut_characters() -> None:
    text = ("x" * (PART_SIZE - 1) + "ä" * 10).encode()
    first, second = fed([text + b"\n"])
    assert first.text.decode() + second.text.decode() == text.decode()


def test_last_line_without_a_newline_is_a_part() -> None:
    one, two = fed([b"one\ntw", b"o"])
    assert [(one.text, one.at), (two.text, two.at)] == [(b"one", 7), (b"two", 8)]
    assert two.part is not None
    assert (two.part.ordinal, two.part.is_last) == (1, False)
