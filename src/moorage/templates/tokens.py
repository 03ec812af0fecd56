"""Split a template into text and actions, and an action into words.

Pure.

Spec: Go, package text/template, "Actions" and "Text and spaces".
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from moorage.errors import InvalidParameterError

# On a command line "\\t" arrives as two characters.
_ESCAPES: Final = {r"\t": "\t", r"\n": "\n"}
_ACTION: Final = re.compile(r"\{\{(-\s)?((?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`])*?)(\s-)?\}\}", re.DOTALL)
_WORD: Final = re.compile(
    r"""\s*(?:
        (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<field>(?:\.[A-Za-z_][A-Za-z0-9_]*)+)
      | (?P<dot>\.)
      | (?P<variable>\$[A-Za-z0-9_]*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>:=|=|\||\(|\)|,)
    )""",
    re.VERBOSE,
)


class TemplateError(InvalidParameterError):
    """The template can't be read, or asks for what is not there."""


class Token(NamedTuple):
    """One word of an action: its kind, its text, and whether a space stands before it."""

    kind: str
    text: str
    spaced: bool


def split_actions(template: str) -> Iterator[tuple[str, str | None]]:
    r"""Yield pairs of literal text and the action that follows it; the last action is None.

    In the text \t and \n stand for what they mean; strings in actions have escapes of their own.

    Raises:
        TemplateError: An action is not closed.
    """
    position, trim = 0, False
    for match in _ACTION.finditer(template):
        text = _unescape(template[position : match.start()])
        text = text.lstrip() if trim else text
        yield (text.rstrip() if match[1] else text), match[2].strip()
        position, trim = match.end(), bool(match[3])
    rest = _unescape(template[position:])
    if "{{" in rest:
        raise TemplateError("template parsing error: template: :1: unclosed action")
    yield (rest.lstrip() if trim else rest), None


def _unescape(text: str) -> str:
    for written, meant in _ESCAPES.items():
        text = text.replace(written, meant)
    return text


def split_words(action: str) -> list[Token]:
    """Return the words of an action.

    Raises:
        TemplateError: A character belongs to no word.
    """
    words: list[Token] = []
    position = 0
    while position < len(action):
        match = _WORD.match(action, position)
        if match is None or match.lastgroup is None:
            if not action[position:].strip():
                break
            bad = action[position:].strip()[0]
            raise TemplateError(f"template parsing error: template: :1: unexpected {bad!r} in operand")
        text = match[match.lastgroup]
        words.append(Token(match.lastgroup, text, match.start(match.lastgroup) > position))
        position = match.end()
    return words
