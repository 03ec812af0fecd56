"""What Go says about the first byte of a text that is no JSON.

Clients print it, and their tests compare it. Only asked when decoding has failed.

Spec: encoding/json of Go, "SyntaxError"; RFC 8259.
"""

import re
from typing import Final

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_STRING: Final = re.compile(rb'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
_HEX: Final = re.compile(rb"[0-9a-fA-F]*")
_DIGITS: Final = re.compile(rb"[0-9]*")
_LITERALS: Final = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_CLOSING: Final = {ord("{"): ord("}"), ord("["): ord("]")}
_NAMED: Final = {
    "'": r"\'", "\\": r"\\", "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
}  # fmt: skip

_VALUE: Final = "looking for beginning of value"
_KEY: Final = "looking for beginning of object key string"


class _FaultError(Exception):
    """The text ends or goes wrong here."""


def complaint(text: bytes) -> str:
    """Return Go's words about what is wrong with a JSON text; empty if its syntax is right."""
    try:
        _Scan(text).document()
    except _FaultError as fault:
        return str(fault)
    return ""


class _Scan:
    """Walks over a text up to the first fault; open brackets are a list, for depth is the client's choice."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._open: list[int] = []

    def document(self) -> None:
        self._value(self._next())
        while self._open:
            byte = self._next()
            if byte == _CLOSING[self._open[-1]]:
                self._open.pop()
                self._at += 1
            elif byte == ord(","):
                self._at += 1
                self._item(self._next())
            else:
                raise self._fault(
                    "after array element" if self._open[-1] == ord("[") else "after object key:value pair"
                )

    def _item(self, byte: int) -> None:
        """Take one element, or one key with its value."""
        if self._open[-1] == ord("{"):
            if byte != ord('"'):
                raise self._fault(_KEY)
            self._string()
            if self._next() != ord(":"):
                raise self._fault("after object key")
            self._at += 1
            byte = self._next()
        self._value(byte)

    def _value(self, byte: int) -> None:
        """Take a value; of an object or array that is not empty, all up to the end of its first item."""
        while byte in _CLOSING:
            self._open.append(byte)
            self._at += 1
            byte = self._next()
            if byte == _CLOSING[self._open[-1]]:
                return
            if self._open[-1] == ord("{"):
                self._item(byte)
                return
        self._scalar(byte)

    def _scalar(self, byte: int) -> None:
        if byte == ord('"'):
            self._string()
        elif byte in _LITERALS:
            self._literal(_LITERALS[byte])
        elif byte == ord("-") or byte in b"0123456789":
            self._number()
        else:
            raise self._fault(_VALUE)

    def _string(self) -> None:
        self._skip(_STRING, start=self._at + 1)
        byte = self._here()
        if byte != ord('"'):
            if byte != ord("\\"):
                raise self._fault("in string literal")
            self._at += 1
            if self._here() != ord("u"):
                raise self._fault("in string escape code")
            self._skip(_HEX, start=self._at + 1)
            raise self._fault(r"in \u hexadecimal character escape")
        self._at += 1

    def _literal(self, word: bytes) -> None:
        for expected in word:
            if self._here() != expected:
                raise self._fault(f"in literal {word.decode()} (expecting '{chr(expected)}')")
            self._at += 1

    def _number(self) -> None:
        if self._here() == ord("-"):
            self._at += 1
            self._digit("in numeric literal")
        # Nothing comes after a leading zero but a fraction or an exponent.
        if self._here() == ord("0"):
            self._at += 1
        else:
            self._skip(_DIGITS, start=self._at)
        if self._peek() == b".":
            self._at += 1
            self._digit("after decimal point in numeric literal")
            self._skip(_DIGITS, start=self._at)
        if self._peek() in {b"e", b"E"}:
            self._at += 1
            if self._peek() in {b"+", b"-"}:
                self._at += 1
            self._digit("in exponent of numeric literal")
            self._skip(_DIGITS, start=self._at)

    def _digit(self, context: str) -> None:
        if self._here() not in b"0123456789":
            raise self._fault(context)

    def _skip(self, pattern: re.Pattern[bytes], *, start: int) -> None:
        match = pattern.match(self._text, start)
        self._at = match.end() if match else start

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _here(self) -> int:
        if self._at >= len(self._text):
            raise _FaultError("unexpected EOF")
        return self._text[self._at]

    def _next(self) -> int:
        self._skip(_SPACE, start=self._at)
        return self._here()

    def _fault(self, context: str) -> _FaultError:
        return _FaultError(f"invalid character {_quoted(self._here())} {context}")


def _quoted(byte: int) -> str:
    """Return a byte as Go quotes it, which takes it for a character of Latin-1."""
    character = chr(byte)
    if character in _NAMED:
        return f"'{_NAMED[character]}'"
    if character.isprintable():
        return f"'{character}'"
    return f"'\\x{byte:02x}'" if byte < 0x80 else f"'\\u{byte:04x}'"
