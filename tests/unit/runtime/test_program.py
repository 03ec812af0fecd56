"""Finding a program, and saying why there is none."""

from pathlib import Path

import pytest

from moorage.runtime.errors import StartError
from moorage.runtime.program import find_program, parse_environment


@pytest.fixture
def directories(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories with programs and things that are none."""
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
        (directory / "both").touch(mode=0o755)
    (first / "plain").touch(mode=0o644)
    (first / "folder").mkdir()
    (second / "later").touch(mode=0o755)
    return first, second


def test_the_first_directory_wins(directories: tuple[Path, Path]) -> None:
    first, second = directories
    assert find_program("both", search_path=f"{first}:{second}") == f"{first}/both"
    assert find_program("later", search_path=f"{first}:{second}") == f"{second}/later"


def test_an_empty_entry_is_the_working_directory(
    directories: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directories[1])
    assert find_program("later", search_path="/nowhere::") == "./later"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("folder", 127, 'exec: "folder": executable file not found in $PATH'),
        ("plain", 126, 'exec: "plain": permission denied'),
        ("{first}/nosuch", 127, 'exec: "{first}/nosuch": stat {first}/nosuch: no such file or directory'),
        ("{first}/plain", 126, 'exec: "{first}/plain": permission denied'),
        ("{first}/folder", 126, 'exec: "{first}/folder": is a directory'),
        ("{first}/both/x", 127, 'exec: "{first}/both/x": stat {first}/both/x: not a directory'),
    ],
)
def test_why_there_is_none(directories: tuple[Path, Path], name: str, code: int, message: str) -> None:
    first = str(directories[0])
    with pytest.raises(StartError) as caught:
        find_program(name.replace("{first}", first), search_path=first)
    assert (caught.value.exit_code, caught.value.message) == (code, message.replace("{first}", first))


def test_the_last_value_of_a_variable_wins() -> None:
    assert parse_environment(["A=1", "B=x=y", "A=2", "broken", "=z", "C="]) == {"A": "2", "B": "x=y", "C": ""}
