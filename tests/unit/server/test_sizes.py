"""The size of a terminal in a query."""

import pytest

from moorage.api.containers import ResizeQuery
from moorage.engine.containers.errors import RequestRefusedError
from moorage.server.handlers.sizes import read_size


def test_rows_and_columns_are_whole_numbers() -> None:
    assert read_size(ResizeQuery(h="24", w="080")) == (24, 80)


@pytest.mark.parametrize(
    ("h", "w", "message"),
    [
        ("", "80", 'invalid resize height "": invalid syntax'),
        ("24", "wide", 'invalid resize width "wide": invalid syntax'),
        ("+24", "80", 'invalid resize height "+24": invalid syntax'),
        ("-1", "80", 'invalid resize height "-1": value out of range'),
        ("24", "4294967296", 'invalid resize width "4294967296": value out of range'),
    ],
)
def test_anything_else_is_refused_in_docker_s_words(h: str, w: str, message: str) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        read_size(ResizeQuery(h=h, w=w))
    assert str(caught.value) == message
