"""From a template's text to a tree.

Pure.

Spec: Go, package text/template, "Actions", "Pipelines", "Variables".
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from moorage.templates.tokens import TemplateError, Token, split_actions, split_words


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text."""

    text: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A string, number, boolean or nil."""

    value: object


@dataclass(frozen=True, slots=True)
class Variable:
    """``$name``; ``$`` alone is the value that the template was given."""

    name: str


@dataclass(frozen=True, slots=True)
class Fields:
    """A chain of fields; of dot where `start` is None."""

    start: "Operand | None"
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A name in the place of a function."""

    name: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each fed the value of the one before.

    Attributes:
        variables: What it assigns its value to.
        declares: They are new ones (``:=``), which end with the block.
    """

    commands: tuple[tuple["Operand", ...], ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


Operand = Constant | Variable | Fields | Function | Pipeline


@dataclass(frozen=True, slots=True)
class Block:
    """``if``, ``range`` or ``with``: a condition and two branches."""

    kind: str
    pipeline: Pipeline
    body: "tuple[Node, ...]"
    otherwise: "tuple[Node, ...]" = field(default=())


Node = Text | Pipeline | Block

_OPENING: Final = frozenset({"if", "range", "with"})
_CONTINUING: Final = frozenset({"if", "with"})
# A keyword ends where its letters end: {{range.Images}} needs no space.
_KEYWORD: Final = re.compile(r"(if|range|with|else|end)\b\s*", re.ASCII)
# Go's escapes, all of which mean the same to Python; Python has more, and takes unknown ones as they are.
_DIGIT: Final = "[0-9A-Fa-f]"
_STRING: Final = re.compile(
    rf"""
    "(?: [^"\\\n]
      | \\[abfnrtv\\"] | \\[0-3][0-7]{{2}} | \\x{_DIGIT}{{2}}
      | \\u(?![dD][89A-Fa-f]){_DIGIT}{{4}} | \\U00(?:0{_DIGIT}|10){_DIGIT}{{4}}
    )*"
    """,
    re.VERBOSE,
)
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}


def _keyword(action: str) -> tuple[str, str]:
    """Return the keyword that an action begins with, "" for none, and the rest."""
    match = _KEYWORD.match(action)
    return (match[1], action[match.end() :]) if match else ("", action)


def parse(template: str) -> tuple[Node, ...]:
    """Parse a template.

    Raises:
        TemplateError: It is malformed.
    """
    parts = split_actions(template)
    nodes, ending = _nodes(parts)
    if ending is not None:
        raise TemplateError(f"template parsing error: template: :1: unexpected {{{{{ending}}}}}")
    return nodes


def _nodes(parts: Iterator[tuple[str, str | None]]) -> tuple[tuple[Node, ...], str | None]:
    """Return nodes up to ``end``, ``else`` or the end of the template, and which of these it was."""
    nodes: list[Node] = []
    for text, action in parts:
        if text:
            nodes.append(Text(text))
        if action is None:
            return tuple(nodes), None
        if action.startswith("/*"):
            continue
        keyword, rest = _keyword(action)
        if keyword in {"end", "else"}:
            return tuple(nodes), action
        nodes.append(_block(keyword, rest, parts) if keyword in _OPENING else pipeline(action))
    return tuple(nodes), None


def _block(kind: str, condition: str, parts: Iterator[tuple[str, str | None]]) -> Block:
    body, ending = _nodes(parts)
    otherwise: tuple[Node, ...] = ()
    if ending is not None and ending.startswith("else"):
        chained = ending.removeprefix("else").strip()
        if chained:
            keyword, rest = _keyword(chained)
            if keyword not in _CONTINUING:
                raise TemplateError(f"template parsing error: template: :1: unexpected {{{{{ending}}}}}")
            # "else if" shares the end of the block that it continues.
            return Block(kind, pipeline(condition), body, (_block(keyword, rest, parts),))
        otherwise, ending = _nodes(parts)
    if ending != "end":
        raise TemplateError("template parsing error: template: :1: unexpected EOF")
    return Block(kind, pipeline(condition), body, otherwise)


def pipeline(action: str) -> Pipeline:
    """Parse the pipeline of one action.

    Raises:
        TemplateError: It is empty or malformed.
    """
    words = split_words(action)
    variables: list[str] = []
    declares = False
    for index, word in enumerate(words):
        if word.kind == "mark" and word.text in {":=", "="}:
            variables = [each.text for each in words[:index] if each.kind == "variable"]
            words = words[index + 1 :]
            declares = word.text == ":="
            break
    reader = _Reader(words)
    parsed = reader.pipeline()
    if reader.next() is not None:
        raise TemplateError(f"template parsing error: template: :1: unexpected <{reader.words[reader.position].text}>")
    return Pipeline(parsed.commands, tuple(variables), declares)


class _Reader:
    """Reads operands out of words, one pass, no way back."""

    def __init__(self, words: list[Token]) -> None:
        self.words = words
        self.position = 0

    def next(self) -> Token | None:
        return self.words[self.position] if self.position < len(self.words) else None

    def pipeline(self) -> Pipeline:
        commands = [self.command()]
        while (word := self.next()) is not None and word.text == "|":
            self.position += 1
            commands.append(self.command())
        return Pipeline(tuple(commands))

    def command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while (word := self.next()) is not None and word.text not in {"|", ")"}:
            operands.append(self.operand(word))
        if not operands:
            raise TemplateError("template parsing error: template: :1: missing value for command")
        return tuple(operands)

    def operand(self, word: Token) -> Operand:
        self.position += 1
        parsed = self._simple(word)
        following = self.next()
        if following is not None and following.kind == "field" and not following.spaced and word.kind != "field":
            self.position += 1
            return Fields(parsed, _names(following))
        return parsed

    def _simple(self, word: Token) -> Operand:
        if (build := _OPERANDS.get(word.kind)) is not None:
            return build(word)
        if word.text != "(":
            raise TemplateError(f"template parsing error: template: :1: unexpected <{word.text}> in operand")
        inner = self.pipeline()
        closing = self.next()
        if closing is None or closing.text != ")":
            raise TemplateError("template parsing error: template: :1: unclosed left paren")
        self.position += 1
        return inner


def _names(word: Token) -> tuple[str, ...]:
    return tuple(word.text[1:].split("."))


def _constant(word: Token) -> Operand:
    if word.kind == "number":
        return Constant(float(word.text) if "." in word.text else int(word.text))
    if word.text[0] == "`":
        return Constant(word.text[1:-1])
    if not _STRING.fullmatch(word.text):
        raise TemplateError(f"template parsing error: template: :1: invalid string: {word.text}")
    return Constant(ast.literal_eval(word.text))


def _named(word: Token) -> Operand:
    return Constant(_CONSTANTS[word.text]) if word.text in _CONSTANTS else Function(word.text)


_OPERANDS: Final[Mapping[str, Callable[[Token], Operand]]] = {
    "string": _constant,
    "number": _constant,
    "dot": lambda _: Fields(None, ()),
    "field": lambda word: Fields(None, _names(word)),
    "variable": lambda word: Variable(word.text),
    "name": _named,
}
