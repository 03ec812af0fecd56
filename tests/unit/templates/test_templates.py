"""Templates: what ``--format`` does."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.templates.rendering import Template
from moorage.templates.tokens import TemplateError

VALUE: dict[str, Any] = {
    "Name": "web",
    "State": {"Running": True, "Pid": 7},
    "Labels": {"b": "2", "a": "1"},
    "List": ["x", "y"],
    "Ports": {"80/tcp": [{"HostPort": "8080"}]},
    "None": None,
    "Twice": lambda text: text * 2,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "web"),
        ("{{ .State.Running }} {{.State.Pid}}", "true 7"),
        ("{{json .State}}", '{"Running":true,"Pid":7}'),
        ("{{.Labels}} {{.List}}", "map[a:1 b:2] [x y]"),
        ("{{range .List}}<{{.}}>{{end}}", "<x><y>"),
        ("{{range.List}}{{if.}}{{.}}{{end}}{{end}}{{with.Name}}{{.}}{{end}}", "xyweb"),
        ("{{range $i, $v := .List}}{{$i}}{{$v}}{{end}}", "0x1y"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if eq .Name `db`}}1{{else if eq .Name `web`}}2{{end}}", "2"),
        ("{{with .State}}{{.Pid}}{{end}}", "7"),
        ('{{index .Labels "a"}}', "1"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{len .List}} {{upper .Name}} {{join .List `,`}}", "2 WEB x,y"),
        ("{{.Name | upper | printf `%s!`}}", "WEB!"),
        (r"{{.Name}}\t{{.Name}}", "web\tweb"),
        ("a {{- .Name -}} b", "awebb"),
        ("{{/* nothing */}}x", "x"),
        ("{{.None}}", "<no value>"),
        ("{{.Twice `x`}} {{`y` | .Twice}}", "xx yy"),
        ("{{and .State.Running (not false)}}", "true"),
        (r'{{.Name}}{{"\n"}}{{join .List "\t"}}', "web\nx\ty"),
        (r'{{"\"\\\u00e9\x41"}}{{`\n`}}', r'"\éA\n'),
        ("{{$first := true}}{{range .List}}{{if $first}}{{$first = false}}{{else}},{{end}}{{.}}{{end}}", "x,y"),
        ("{{$x := 1}}{{range .List}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ("{{if .None}}a{{else with .State}}{{.Pid}}{{end}}", "7"),
        ('{{printf "%t" .State.Running}}', "true"),
    ],
)
def test_rendering(template: str, text: str) -> None:
    assert Template(template).render(VALUE) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{", "{{.Name", "{{if .Name}}", "{{end}}", "{{(.Name}}", "{{.Nope}}", "{{nope .Name}}",
        "{{and}}", "{{or}}", "{{if .Name}}a{{else nope}}b{{end}}", "{{$x = 1}}",
        r'{{"\x"}}', r'{{"\d"}}', r'{{"\ud800"}}', r'{{"\A"}}', '{{"a\nb"}}',
        "{{.Name `x`}}", "{{.Twice}}",
    ],
)  # fmt: skip
def test_templates_that_fail(template: str) -> None:
    with pytest.raises(TemplateError):
        Template(template).render(VALUE)


@given(st.text(alphabet='{}.$|() "`abN:=-\\n', max_size=20))
def test_any_text_renders_or_is_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        Template(text).render(VALUE)
