"""The table of what users lean on names tests that there are."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

_TESTS: Final = Path(__file__).parents[1]


@cache
def _tests_of(file: str) -> frozenset[str]:
    tree = ast.parse((_TESTS / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_proof_is_there() -> None:
    head, *rows = (line.split("\t") for line in (_TESTS / "behaviours.tsv").read_text().splitlines())
    assert head == ["number", "behaviour", "tests"]
    numbers = [int(number) for number, _, _ in rows]
    assert numbers == sorted(set(numbers))
    missing = []
    for number, behaviour, proofs in rows:
        assert behaviour, number
        assert proofs, number
        for proof in proofs.split():
            file, _, name = proof.partition("::")
            if not (_TESTS / file).is_file() or name not in _tests_of(file):
                missing.append(proof)
    assert missing == []
