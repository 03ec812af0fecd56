"""The policy of removing images in daemon.json."""

from typing import Any

import pytest

from moorage.daemon.config import ConfigurationError, load
from moorage.daemon.retention import read_retention
from moorage.images.retention import RetentionPolicy

HOUR = 3600 * 10**9


def test_everything_has_a_default() -> None:
    assert read_retention({}) == RetentionPolicy()
    assert load({}, environment={}).image_retention is None


def test_every_key_is_read() -> None:
    assert read_retention(
        {"high-watermark": "90%", "low-watermark": "60%", "min-age": "48h", "keep-labels": ["a=b"], "interval": "1m"}
    ) == RetentionPolicy(high=90, low=60, min_age_ns=48 * HOUR, keep_labels=("a=b",), interval_ns=HOUR // 60)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("85%", "an object is needed"),
        ({"high": "85%"}, "unknown key high"),
        ({"high-watermark": 85}, "high-watermark: '85' is not a share"),
        ({"high-watermark": "101%"}, "high-watermark: '101%' is not a share"),
        ({"low-watermark": "90%"}, "low-watermark 90% is above high-watermark 85%"),
        ({"min-age": "1 day"}, "min-age: time: invalid duration"),
        ({"min-age": "-1h"}, "min-age: -1h is negative"),
        ({"interval": "0"}, "interval: it must be longer"),
        ({"keep-labels": "a"}, "keep-labels: a list of strings is needed"),
    ],
)
def test_what_makes_no_sense_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match="invalid value for image-gc: ") as caught:
        load({"image-gc": value}, environment={})
    assert message in str(caught.value)
