"""Splitting a line of instructions into words, as a shell would: quotes, escapes and variables.

Pure. Only what `docker import --change` and `docker commit --change` need; there is no file, so no line continues.

Spec: Dockerfile reference, "Environment replacement".
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from moorage.errors import InvalidParameterError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED: Final = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-+?])(?P<word>[^}]*))?\}")
_MODIFIER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*(?P<modifier>:?.)")


_OPERATORS: Final = frozenset({"-", "+", "?", ":-", ":+", ":?"})


class BadSubstitutionError(InvalidParameterError):
    """A variable is written in a way that means nothing, or must have a value."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"failed to process {quoted(text)}: {reason}")


class UnclosedQuoteError(InvalidParameterError):
    """A quote has no end."""

    def __init__(self, text: str, quote: str) -> None:
        kind = "double" if quote == '"' else "single"
        super().__init__(
            f"failed to process {quoted(text)}: unexpected end of statement while looking for matching {kind}-quote"
        )


def quoted(text: str) -> str:
    """Return a text in double quotes, as Go shows it."""
    return json.dumps(text, ensure_ascii=False)


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
        return _operate(text, match, variables=variables), match.end()
    if text[at : at + 1] == "{":
        raise BadSubstitutionError(text, _why(text, at))
    return "$", at


def _why(text: str, at: int) -> str:
    """Say what is wrong with the braces that begin at a place."""
    if text[at + 1 : at + 2] in {"{", "}", ":"}:
        return "syntax error: bad substitution"
    match = _MODIFIER.match(text, at)
    if match and match["modifier"] not in {"}", *_OPERATORS}:
        return f"unsupported modifier ({match['modifier']}) in substitution"
    return "syntax error: missing '}'"


def _operate(text: str, match: re.Match[str], *, variables: Mapping[str, str]) -> str:
    name, operator, word = match["name"], match["operator"] or "", match["word"] or ""
    value = variables.get(name)
    # The colon makes an empty value count as none.
    given = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return expand(word, variables=variables) if given else ""
    if operator.endswith("?") and not given:
        missing = f"is not allowed to be {'unset' if value is None else 'empty'}"
        raise BadSubstitutionError(text, f"{name}: {word or missing}")
    if operator.endswith("-") and not given:
        return expand(word, variables=variables)
    return value or ""
