"""Go's shell patterns."""

import pytest

from moorage.oci.glob import InvalidPatternError, matches_glob


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("abc", "abc", True),
        ("a*", "abc", True),
        ("a*", "ab/c", False),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[^b-d]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("ab[!c]", "ab!", True),
        ("ab[!c]", "abd", False),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("[\\]a]", "]", True),
        ("[\\-x]", "-", True),
        ("[z-a]", "m", False),
        ("a[^/]b", "a/b", False),
        ("*", "", True),
        ("(a|b).", "a.", False),
        ("(a|b).", "(a|b).", True),
    ],
)
def test_pattern(pattern: str, text: str, *, fits: bool) -> None:
    assert matches_glob(text, pattern=pattern) is fits


@pytest.mark.parametrize(
    "pattern", ["[", "[]", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "a[", "[^]", "[^bc", "a\\", "[a\\"]
)
def test_broken_pattern(pattern: str) -> None:
    with pytest.raises(InvalidPatternError, match="syntax error in pattern"):
        matches_glob("a", pattern=pattern)
