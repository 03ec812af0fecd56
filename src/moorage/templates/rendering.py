"""Run a template over a value: what ``--format`` does.

Pure.

Spec: Go, package text/template.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from moorage.templates.functions import FUNCTIONS, printed, truth
from moorage.templates.parsing import (
    Block,
    Constant,
    Function,
    Node,
    Operand,
    Pipeline,
    Text,
    Variable,
    parse,
)
from moorage.templates.tokens import TemplateError
from moorage.templates.values import Table

_MISSING: Final = object()


class Template:
    """A parsed template."""

    def __init__(self, text: str) -> None:
        """Parse a template.

        Raises:
            TemplateError: It is malformed.
        """
        self._nodes = parse(text)

    def render(self, value: Any) -> str:
        """Return the template's text for a value of dicts, lists, strings, numbers, and functions as methods.

        Raises:
            TemplateError: It asks for a field that is not there, or calls badly.
        """
        return "".join(_run(self._nodes, _Scope(value, ChainMap({"$": value}))))


class _Scope:
    __slots__ = ("dot", "variables")

    def __init__(self, dot: Any, variables: ChainMap[str, Any]) -> None:
        self.dot = dot
        self.variables = variables

    def inner(self, dot: Any, **variables: Any) -> "_Scope":
        return _Scope(dot, self.variables.new_child(variables))

    def assign(self, name: str, value: Any) -> None:
        """Change a variable where it was declared: a block may change one that lives around it."""
        for declared in self.variables.maps:
            if name in declared:
                declared[name] = value
                return
        raise TemplateError(f"template parsing error: template: :1: undefined variable {name!r}")


def _run(nodes: Sequence[Node], scope: _Scope) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Text):
            yield node.text
        elif isinstance(node, Block):
            yield from _run_block(node, scope)
        elif node.declares:
            scope.variables[node.variables[0]] = _evaluate(node, scope)
        elif node.variables:
            scope.assign(node.variables[0], _evaluate(node, scope))
        else:
            yield printed(_evaluate(node, scope))


def _run_block(block: Block, scope: _Scope) -> Iterator[str]:
    value = _evaluate(block.pipeline, scope)
    if not truth(value):
        yield from _run(block.otherwise, scope.inner(scope.dot))
    elif block.kind == "range":
        yield from _run_range(block, value, scope)
    else:
        dot = value if block.kind == "with" else scope.dot
        names = dict.fromkeys(block.pipeline.variables, value)
        yield from _run(block.body, scope.inner(dot, **names))


def _run_range(block: Block, value: Any, scope: _Scope) -> Iterator[str]:
    if isinstance(value, Mapping):
        pairs = [(key, value[key]) for key in sorted(value)]
    elif isinstance(value, list | tuple):
        pairs = list(enumerate(value))
    else:
        raise TemplateError(f"range can't iterate over {printed(value)}")
    names = block.pipeline.variables
    for key, item in pairs:
        bound = dict(zip(names, (key, item) if len(names) == 2 else (item,), strict=False))
        yield from _run(block.body, scope.inner(item, **bound))


def _evaluate(pipeline: Pipeline, scope: _Scope) -> Any:
    value: Any = _MISSING
    for command in pipeline.commands:
        value = _call(command, value, scope)
    return value


def _call(command: tuple[Operand, ...], piped: Any, scope: _Scope) -> Any:
    head, *operands = command
    arguments = [_operand(operand, scope) for operand in operands]
    if piped is not _MISSING:
        arguments.append(piped)
    if isinstance(head, Function):
        name, function = head.name, FUNCTIONS.get(head.name)
        if function is None:
            raise TemplateError(f'template parsing error: template: :1: function "{head.name}" not defined')
    else:
        value = _operand(head, scope)
        if not callable(value):
            if arguments:
                raise TemplateError("can't give argument to non-function")
            return value
        name, function = "method", value
    try:
        return function(*arguments)
    except (TypeError, AttributeError, ValueError) as error:
        raise TemplateError(f"error calling {name}: {error}") from None


def _operand(operand: Operand, scope: _Scope) -> Any:
    if isinstance(operand, Constant):
        return operand.value
    if isinstance(operand, Pipeline):
        return _evaluate(operand, scope)
    if isinstance(operand, Variable):
        if operand.name not in scope.variables:
            raise TemplateError(f"template parsing error: template: :1: undefined variable {operand.name!r}")
        return scope.variables[operand.name]
    if isinstance(operand, Function):
        return _call((operand,), _MISSING, scope)
    value = scope.dot if operand.start is None else _operand(operand.start, scope)
    for name in operand.names:
        value = _field(value, name)
    return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        if name in value or isinstance(value, Table):
            return value.get(name)
        raise TemplateError(f'template: :1:2: executing "" at <.{name}>: map has no entry for key "{name}"')
    if value is None:
        raise TemplateError(f'template: :1:2: executing "" at <.{name}>: nil data; no entry for key "{name}"')
    raise TemplateError(f'template: :1:2: executing "" at <.{name}>: can\'t evaluate field {name}')
