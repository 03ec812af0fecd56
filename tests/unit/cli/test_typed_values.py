"""Templates over answers: Go's types, where JSON's would print otherwise."""

import pytest

from moorage.api.container_state import ContainerInspectResponse
from moorage.cli.typed_values import typed
from moorage.templates.rendering import Template
from moorage.templates.tokens import TemplateError

RAW = {
    "Name": "/web",
    "Config": {"ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"}, "Volumes": None},
    "HostConfig": {"CapAdd": None, "RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}},
    "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "::", "HostPort": "8080"}], "99/tcp": None}},
    "Mounts": [{"Type": "bind", "Source": "/s", "Destination": "/d", "Mode": "", "RW": True, "Propagation": "x"}],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Mounts}}", "[{bind  /s /d   true x}]"),
        ("{{range .Mounts}}<{{.Name}}>{{end}}", "<>"),
        ("{{.NetworkSettings.Ports}}", "map[80/tcp:[{:: 8080}] 99/tcp:[]]"),
        ("{{.HostConfig.RestartPolicy}} {{.HostConfig.CapAdd}}", "{always 2} []"),
        ("{{.Config.ExposedPorts}} {{.Config.Volumes}}", "map[80/tcp:{}] map[]"),
        ('{{.Config.Labels.a}} {{.Config.Labels.c}} "{{index .Config.Labels "c"}}"', 'b <no value> ""'),
        ("{{json .NetworkSettings.Ports}}", '{"80/tcp":[{"HostIp":"::","HostPort":"8080"}],"99/tcp":null}'),
        ("{{json .Config.Volumes}} {{len .Config.Volumes}} {{if .Config.Volumes}}some{{end}}", "null 0 "),
        ("{{if .State}}state{{else}}none{{end}} {{.State}}", "none <nil>"),
    ],
)
def test_a_container_prints_as_gos_structs_do(template: str, text: str) -> None:
    assert Template(template).render(typed(RAW, ContainerInspectResponse)) == text


def test_a_field_that_no_model_has_is_not_there() -> None:
    with pytest.raises(TemplateError):
        Template("{{.Nope}}").render(typed(RAW, ContainerInspectResponse))
