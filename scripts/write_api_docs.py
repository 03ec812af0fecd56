#!/usr/bin/env python3
"""Write docs/api.md from the table of operations; run it after changing the table.

Usage: python scripts/write_api_docs.py [--check]
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from moorage.api.endpoint import Endpoint
from moorage.api.endpoints import ENDPOINTS
from moorage.api.own_endpoints import OWN_ENDPOINTS
from moorage.api.versions import MAXIMUM, MINIMUM

PAGE = Path(__file__).parent.parent / "docs" / "api.md"

INTRODUCTION = f"""# Engine API

<!-- Written by scripts/write_api_docs.py from moorage.api.endpoints; do not edit. -->

Moorage speaks Docker's Engine API in the versions {MINIMUM} to {MAXIMUM}. A path may start with
`/v<version>`; without it the newest version is meant. An operation that is listed here but
not built answers 501 with its name; nothing else does. What is under "moorage" Docker does not have.

Errors are `{{"message": "..."}}` with the status of their kind: 400 the request can never
succeed, 401 wrong credentials, 403 forbidden, 404 no such object, 409 the object's state
forbids it, 304 it is in that state already, 501 not supported, 503 a dependency is down, 500
the host or the engine failed.
"""


def parameters(endpoint: Endpoint[Any, Any, Any]) -> str:
    """Return the names of the query parameters."""
    return ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(endpoint.query))


def row(endpoint: Endpoint[Any, Any, Any]) -> str:
    """Return one operation's line."""
    cells = (
        f"`{endpoint.method} {endpoint.path}`",
        endpoint.summary,
        parameters(endpoint),
        str(endpoint.status),
        str(endpoint.since),
    )
    return "| " + " | ".join(cells) + " |"


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION]
    every = (*ENDPOINTS, *OWN_ENDPOINTS)
    for area in dict.fromkeys(endpoint.area for endpoint in every):
        endpoints = (endpoint for endpoint in every if endpoint.area == area)
        lines += [f"## {area}", "", "| operation | purpose | query | success | since |", "|-|-|-|-|-|"]
        lines += [row(endpoint) for endpoint in endpoints]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Write the page, or with --check tell whether it is up to date."""
    parser = argparse.ArgumentParser(description="Write docs/api.md from the table of operations.")
    parser.add_argument("--check", action="store_true", help="only tell whether the page is up to date")
    if parser.parse_args().check:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
