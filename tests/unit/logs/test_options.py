"""What log drivers accept, and Docker's words when they do not."""

from pathlib import Path

import pytest

from moorage.logs.attributes import LoggedContainer
from moorage.logs.errors import LogDriverStartError, LogOptionError
from moorage.logs.options import log_plan, validate_log_options

CONTAINER = LoggedContainer(
    id="0123456789abcdef" * 4,
    name="web",
    image_id="sha256:" + "fedcba9876543210" * 4,
    image_name="nginx",
    labels={"a": "1", "b": "2", "cc": "3"},
    env=["PATH=/bin", "EMPTY=", "X=y=z"],
)


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("json-file", {"x": "1"}, "unknown log opt 'x' for json-file log driver"),
        ("local", {"labels": "1"}, "unknown log opt 'labels' for log driver local"),
        ("fluent", {}, 'error looking up logging plugin fluent: plugin "fluent" not found'),
        ("json-file", {"mode": "fast"}, "logger: logging mode not supported: fast"),
        (
            "json-file",
            {"max-buffer-size": "4m"},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
    ],
)
def test_unknown_option_is_refused_at_creation(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(LogOptionError) as caught:
        validate_log_options(driver, options)
    assert str(caught.value) == message


def test_known_options_and_the_none_driver_pass() -> None:
    validate_log_options("json-file", {"max-size": "1m", "mode": "non-blocking", "max-buffer-size": "4m"})
    validate_log_options("none", {"anything": "1"})


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("json-file", {"max-size": "abc"}, "invalid size: 'abc'"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ("json-file", {"compress": "maybe"}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        (
            "json-file",
            {"compress": "true"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (
            "local",
            {"compress": "true", "max-file": "1"},
            "max file count must be greater than 1 when compression is enabled",
        ),
    ],
)
def test_bad_value_is_refused_at_start(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(LogDriverStartError) as caught:
        log_plan(driver, options, path=Path("/x"), container=CONTAINER)
    assert str(caught.value) == f"failed to create task for container: failed to initialize logging driver: {message}"


def test_sizes_are_decimal() -> None:
    plan = log_plan("json-file", {"max-size": "1.5m", "max-file": "3"}, path=Path("/x"), container=CONTAINER)
    assert (plan["max_size"], plan["max_file"]) == (1_500_000, 3)


def test_local_rotates_by_default() -> None:
    plan = log_plan("local", {}, path=Path("/x"), container=CONTAINER)
    assert (plan["max_size"], plan["max_file"], plan["compress"]) == (20_000_000, 5, True)


def test_attributes_are_the_chosen_labels_and_variables_and_the_tag() -> None:
    options = {"labels": "a,none", "labels-regex": "^c", "env": "X", "tag": "{{.Name}}/{{.ID}}/{{ .ImageID }}"}
    plan = log_plan("json-file", options, path=Path("/x"), container=CONTAINER)
    assert plan["attrs"] == {"a": "1", "cc": "3", "X": "y=z", "tag": "web/0123456789ab/fedcba987654"}


def test_tag_is_a_template_of_go() -> None:
    plan = log_plan(
        "json-file", {"tag": "{{.Name | upper}}{{if .ContainerLabels}}+{{end}}"}, path=Path("/x"), container=CONTAINER
    )
    assert plan["attrs"] == {"tag": "WEB+"}


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{if .ID}}", "template: log-tag:1: unexpected EOF"),
        (
            "{{.Nope}}",
            'template: log-tag:1:2: executing "log-tag" at <.Nope>: can\'t evaluate field Nope in type *logger.Info',
        ),
    ],
)
def test_bad_tag_is_refused_at_start(template: str, problem: str) -> None:
    with pytest.raises(LogDriverStartError) as caught:
        log_plan("json-file", {"tag": template}, path=Path("/x"), container=CONTAINER)
    assert str(caught.value).endswith(problem)
