"""What other runtimes say when they fail."""

import json

import pytest

from moorage.shim.commands import exit_code_of, last_error


def log(*messages: tuple[str, str]) -> bytes:
    return b"\n".join(json.dumps({"level": level, "msg": text}).encode() for level, text in messages)


def test_innermost_text_of_the_last_error_counts() -> None:
    said = log(
        ("error", "first"),
        ("error", 'runc create failed: unable to start container process: exec: "x": permission denied'),
        ("warning", "later"),
    )
    assert last_error(said) == 'exec: "x": permission denied'


def test_error_without_a_wrapper_is_taken_whole_and_torn_lines_are_skipped() -> None:
    assert last_error(log(("error", "container does not exist")) + b'\n{"level":') == "container does not exist"
    assert last_error(b"") == ""


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("executable file `x` not found in $PATH: No such file or directory", 127),
        ('exec: "/x": stat /x: no such file or directory', 127),
        ('exec: "/x": permission denied', 126),
        ("error mounting proc: permission denied", 128),
    ],
)
def test_exit_codes_are_a_shell_s(message: str, code: int) -> None:
    assert exit_code_of(message) == code


def test_a_missing_program_is_worded_as_runc_words_it() -> None:
    log = b'{"level":"error","msg":"executable file `x y` not found in $PATH: No such file or directory"}'
    assert last_error(log) == 'exec: "x y": executable file not found in $PATH'
    assert exit_code_of(last_error(log)) == 127
