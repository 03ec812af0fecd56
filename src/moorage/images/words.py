"""Splitting a line of instructions into words, as a shell would: quotes, escapes and variables.

Pure. Only what `docker import --change` and `docker commit --change` need; there is no file, so no line continues.

Spec: Dockerfile reference, "Environment replacement".
"""

import re
from collections.abc import Mapping
from typing import Final

from moorage.errors import InvalidParameterError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED: Final = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-+])(?P<word>[^}]*))?\}")


class BadSubstitutionError(InvalidParameterError):
    """A variable is written in a way that means nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(f"failed to process {text!r}: unsupported substitution")


class UnclosedQuoteError(InvalidParameterError):
    """A quote has no end."""

    def __init__(self, text: str, quote: str) -> None:
        super().__init__(f"failed to process {text!r}: unexpected end of statement while looking for matching {quote}")


def split_words(text: str) -> list[str]:
    """Split at blanks outside quotes; quotes and escapes stay in the words."""
    words: list[str] = []
    word, quote, escaped = "", "", False
    for character in text:
        if escaped:
            word, escaped = word + character, False
        elif character == "\\" and quote != "'":
            word, escaped = word + character, True
        elif quote:
            word += character
            quote = "" if character == quote else quote
        elif character.isspace():
            words += [word] if word else []
            word = ""
        else:
            word += character
            quote = character if character in "'\"" else ""
    return [*words, word] if word else words


def expand(text: str, *, variables: Mapping[str, str]) -> str:
    """Take the quotes off a word and put the values of variables in.

    Raises:
        UnclosedQuoteError, BadSubstitutionError: The word is malformed.
    """
    result, quote, at = "", "", 0
    while at < len(text):
        character = text[at]
        if character == "$" and quote != "'":
            value, at = _variable(text, at + 1, variables=variables)
            result += value
            continue
        if character in "'\"" and quote in {"", character}:
            quote = "" if quote else character
        elif character == "\\" and quote != "'" and at + 1 < len(text):
            at += 1
            # In double quotes a backslash is itself unless it escapes something.
            result += text[at] if not quote or text[at] in '"$\\' else "\\" + text[at]
        else:
            result += character
        at += 1
    if quote:
        raise UnclosedQuoteError(text, quote)
    return result


def _variable(text: str, at: int, *, variables: Mapping[str, str]) -> tuple[str, int]:
    if match := _NAME.match(text, at):
        return variables.get(match[0], ""), match.end()
    if match := _BRACED.match(text, at):
        return _operate(match, variables=variables), match.end()
    if text[at : at + 1] == "{":
        raise BadSubstitutionError(text)
    return "$", at


def _operate(match: re.Match[str], *, variables: Mapping[str, str]) -> str:
    name, operator, word = match["name"], match["operator"] or "", match["word"] or ""
    value = variables.get(name)
    # The colon makes an empty value count as none.
    given = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return expand(word, variables=variables) if given else ""
    if operator.endswith("-") and not given:
        return expand(word, variables=variables)
    return value or ""
