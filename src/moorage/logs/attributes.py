"""What a message tells of its container: the tag, and chosen labels and variables.

Spec: Docker, "Customize log driver output".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moorage.logs.errors import LogDriverStartError
from moorage.templates.rendering import Template
from moorage.templates.tokens import TemplateError

DEFAULT_TAG: Final = "{{.ID}}"
_MISSING: Final = re.compile(r'map has no entry for key "(\w+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedContainer:
    """What tags and attributes can be made of.

    Attributes:
        name: Without the leading slash.
        image_id: With its algorithm, as inspect prints it.
        env: `NAME=value` words.
        command: The program and its arguments.
        created: As inspect prints it.
        hostname: The host's, not the container's.
    """

    id: str
    name: str
    image_id: str
    image_name: str
    labels: Mapping[str, str]
    env: Sequence[str]
    command: Sequence[str] = ()
    created: str = ""
    hostname: str = ""


def attributes(options: Mapping[str, str], container: LoggedContainer) -> dict[str, str]:
    """Return the labels and variables that the options choose.

    Raises:
        LogDriverStartError: An expression is malformed.
    """
    env = dict(word.partition("=")[::2] for word in container.env if "=" in word)
    chosen: dict[str, str] = {}
    for option, values in (("labels", container.labels), ("env", env)):
        names = {name for name in options.get(option, "").split(",") if name}
        pattern = _pattern(options.get(f"{option}-regex", ""))
        chosen |= {name: value for name, value in values.items() if name in names or (pattern and pattern.search(name))}
    return chosen


def tag(options: Mapping[str, str], container: LoggedContainer, *, default: str = DEFAULT_TAG) -> str:
    """Return the tag that the options ask for.

    Raises:
        LogDriverStartError: Its template is malformed, or asks for what there is not.
    """
    try:
        return Template(options.get("tag") or default).render(_fields(options, container))
    except TemplateError as error:
        text = str(error).replace("template parsing error: ", "").replace('executing ""', 'executing "log-tag"')
        text = text.replace("template: :", "template: log-tag:")
        text = _MISSING.sub(r"can't evaluate field \1 in type *logger.Info", text)
        raise LogDriverStartError(text) from error


def _fields(options: Mapping[str, str], container: LoggedContainer) -> dict[str, Any]:
    path, *arguments = container.command or ("",)
    return {
        "ID": container.id[:12],
        "FullID": container.id,
        "Name": container.name,
        "ImageID": container.image_id.removeprefix("sha256:")[:12],
        "ImageFullID": container.image_id,
        "ImageName": container.image_name,
        "DaemonName": "docker",
        "Command": " ".join(container.command),
        "Hostname": container.hostname,
        "Config": dict(options),
        "ContainerID": container.id,
        "ContainerName": f"/{container.name}",
        "ContainerEntrypoint": path,
        "ContainerArgs": arguments,
        "ContainerImageID": container.image_id,
        "ContainerImageName": container.image_name,
        "ContainerCreated": container.created,
        "ContainerEnv": list(container.env),
        "ContainerLabels": dict(container.labels),
    }


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise LogDriverStartError(f"error parsing regexp: {error}: `{text}`") from error
