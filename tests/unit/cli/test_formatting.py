"""Rows as ``--format`` asks for them."""

import json

import pytest

from moorage.cli.formatting import label_fields, print_rows
from moorage.templates.tokens import TemplateError
from moorage.templates.values import Nothing

ROWS = [{"Name": "<web>", "Current": True, "Platform": Nothing("<nil>"), **label_fields({"a": "b"})}]
COLUMNS = {"Name": "NAME", "Labels": "LABELS"}


def printed(capsys: pytest.CaptureFixture[str], format_text: str) -> str:
    print_rows(ROWS, columns=COLUMNS, format_text=format_text, default=("Name",))
    return capsys.readouterr().out


@pytest.mark.parametrize("format_text", ["json", "{{json .}}"])
def test_a_row_in_json_has_its_fields_in_order_and_no_methods(
    capsys: pytest.CaptureFixture[str], format_text: str
) -> None:
    found = json.loads(printed(capsys, format_text))
    assert list(found.items()) == [("Current", True), ("Labels", "a=b"), ("Name", "<web>"), ("Platform", None)]


def test_a_label_has_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, 'table {{.Name}}\t{{.Label "com.example.my-key"}}').splitlines()[0] == "NAME      my key"


@pytest.mark.parametrize("format_text", ["{{.Nope}}", "{{.Name", "table {{.Nope}}", "{{nope .Name}}"])
def test_what_is_wrong_with_a_template_is_told_once(format_text: str) -> None:
    with pytest.raises(TemplateError, match=r"^template parsing error: template: :1"):
        print_rows(ROWS, columns=COLUMNS, format_text=format_text, default=("Name",))
