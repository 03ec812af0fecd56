"""The ``--platform`` flag, for operations whose parameter is a JSON object."""

import json
from collections.abc import Iterable

from moorage.oci.platform import parse_platform


def platform_parameter(text: str) -> str:
    """Return `os[/arch[/variant]]` as the JSON object of the wire; nothing for nothing.

    Raises:
        InvalidParameterError: It is no platform.
    """
    if not text:
        return ""
    platform = parse_platform(text)
    fields = {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant}
    return json.dumps({name: value for name, value in fields.items() if value})


def platform_parameters(texts: Iterable[str]) -> list[str]:
    """Return several platforms, each as `platform_parameter` writes it.

    Raises:
        InvalidParameterError: One of them is no platform.
    """
    return [platform_parameter(text) for text in texts]
