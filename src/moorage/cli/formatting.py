"""``--format``: a table, JSON, or a template over rows."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from moorage.cli.tables import tabbed
from moorage.templates.functions import to_json
from moorage.templates.rendering import Template
from moorage.templates.tokens import TemplateError

Row = Mapping[str, str | bool | Mapping[str, str] | Callable[[str], str]]
"""Values by field name; what is a function is a method of templates."""

_TABLE: Final = "table"
_TROUBLE: Final = "template parsing error: "


def label_fields(labels: Mapping[str, str] | None) -> Row:
    """Return the fields by which templates reach labels: all of them, and one by its key."""
    found = labels or {}
    return {
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(found.items())),
        "Label": lambda key: found.get(key, ""),
    }


def _label_heading(key: str) -> str:
    return key.rpartition(".")[2].replace("-", " ").replace("_", " ")


def print_rows(rows: Sequence[Row], *, columns: Mapping[str, str], format_text: str, default: Sequence[str]) -> None:
    """Print rows as ``--format`` says.

    Args:
        rows: What to print, a line each.
        columns: Headings by field name.
        format_text: Empty or ``table`` for the default columns, ``table TEMPLATE`` for
            others, ``json`` for an object a line, else a template a line.
        default: The columns of the plain table.

    Raises:
        TemplateError: The template can't be read or asks for a field that is not there.
    """
    if format_text in {"", _TABLE}:
        format_text = _TABLE + " " + "\t".join("{{." + name + "}}" for name in default)
    try:
        _print_rows(rows, columns=columns, format_text=format_text)
    except TemplateError as error:
        raise TemplateError(f"{_TROUBLE}{str(error).removeprefix(_TROUBLE)}") from None


def _print_rows(rows: Sequence[Row], *, columns: Mapping[str, str], format_text: str) -> None:
    rows = [dict(sorted(row.items())) for row in rows]
    if format_text == "json":
        sys.stdout.writelines(_row_json(row) + "\n" for row in rows)
    elif format_text.startswith(_TABLE + " "):
        template = Template(format_text.removeprefix(_TABLE).strip())
        heading = template.render({**columns, "Label": _label_heading})
        sys.stdout.write(tabbed([heading, *(template.render(row) for row in rows)]))
    else:
        template = Template(format_text)
        sys.stdout.writelines(template.render(row) + "\n" for row in rows)


def _row_json(row: Row) -> str:
    # Go escapes what means something in HTML. These occur in strings only, so replacing
    # them in the whole text is right.
    text = to_json(row)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
