"""The table against a compact copy of the specification's facts (version 1.56)."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from moorage.api import cluster_endpoints
from moorage.api.cluster_endpoints import LooseQuery
from moorage.api.endpoints import ENDPOINTS

with (Path(__file__).parent / "operations.tsv").open(newline="") as file:
    OPERATIONS = list(csv.DictReader(file, delimiter="\t"))
TABLE = {endpoint.operation: endpoint for endpoint in ENDPOINTS}
#: Routed by Docker's engine, and not in its specification.
UNDOCUMENTED = {"BuildCancel", "BuildGRPC", "CheckpointList", "CheckpointCreate", "CheckpointDelete"}


def test_table_has_the_specified_operations_and_no_others() -> None:
    assert {operation["operation"] for operation in OPERATIONS} | UNDOCUMENTED == set(TABLE)
    assert len(TABLE) == len(ENDPOINTS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation["operation"])
def test_operation_is_as_specified(operation: dict[str, str]) -> None:
    endpoint = TABLE[operation["operation"]]
    assert (endpoint.method, endpoint.path) == (operation["method"], operation["path"])
    assert str(endpoint.since) == operation["since"]
    assert str(endpoint.status) in operation["success"].split(",")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation["operation"])
def test_every_specified_parameter_is_read(operation: dict[str, str]) -> None:
    query = TABLE[operation["operation"]].query
    if query is LooseQuery:
        return
    known = {field.encode_name for field in msgspec.structs.fields(query)}
    assert set(filter(None, operation["query"].split(","))) <= known


def test_loose_operations_are_those_of_clusters_and_plugins() -> None:
    loose = {endpoint.area for endpoint in ENDPOINTS if endpoint.query is LooseQuery}
    assert loose <= {endpoint.area for endpoint in cluster_endpoints.ENDPOINTS}


def test_templates_have_one_form() -> None:
    assert all(re.fullmatch(r"(/(\{\w+\}|[\w_]+))+", endpoint.path) for endpoint in ENDPOINTS)


def test_documentation_is_up_to_date() -> None:
    script = Path(__file__).parents[3] / "scripts" / "write_api_docs.py"
    subprocess.run([sys.executable, script, "--check"], check=True)
