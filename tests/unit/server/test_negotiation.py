"""Content types are chosen by what the client says it likes."""

import pytest

from moorage.server.negotiation import choose_type


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "none/none"),
        ("text/html", "none/none"),
        ("*/*", "a/one"),
        ("a/two", "a/two"),
        ("a/one;q=0.5, a/two", "a/two"),
        ("a/*;q=1, a/two", "a/two"),
        ("a/two;q=0", "none/none"),
        ("A/TWO ; q=0.1 , */*;q=junk", "a/two"),
    ],
)
def test_the_best_offer_is_taken(accept: str, chosen: str) -> None:
    assert choose_type(accept, ("a/one", "a/two"), default="none/none") == chosen
