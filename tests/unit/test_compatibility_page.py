"""The page of compatibility speaks of everything there is, and says what a run saw."""

import subprocess
import sys
from pathlib import Path

from tests.compatibility.document import page
from tests.compatibility.facts import commands, limits, subjects

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_compatibility.py"


def test_every_limit_is_about_something() -> None:
    assert limits().keys() <= set(subjects())


def test_the_page_is_what_facts_and_limits_say() -> None:
    subprocess.run([sys.executable, SCRIPT, "--check"], check=True)


def test_every_flag_of_every_command_is_on_the_page() -> None:
    text = page()
    for command in commands():
        line = next(
            line for line in text.splitlines() if f"| `docker {command.words}`" in line or command.words == "docker"
        )
        if command.words != "docker":
            assert all(f"`{flag}`" in line for flag in command.flags), command.words
