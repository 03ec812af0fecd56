"""References: the grammar, the names and the errors of Docker."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.oci.reference import (
    InvalidReferenceError,
    Reference,
    check_digest,
    is_digest,
    matches_pattern,
    parse_canonical,
    parse_reference,
)

SHA = "sha256:" + "ab" * 32

components = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-)[a-z0-9]{1,8}){0,2}", fullmatch=True)
paths = st.lists(components, min_size=1, max_size=3).map("/".join)
domains = st.from_regex(r"[a-z0-9]{1,8}\.[a-z]{2,4}(:[0-9]{2,5})?", fullmatch=True)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)
references = st.builds(
    Reference,
    domain=domains,
    path=paths,
    tag=st.none() | tags,
    digest=st.none() | digests,
)


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("alpine", "docker.io/library/alpine", "alpine"),
        ("alpine:3.19", "docker.io/library/alpine:3.19", "alpine:3.19"),
        ("docker.io/alpine", "docker.io/library/alpine", "alpine"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine", "alpine"),
        ("docker.io/user/app:1", "docker.io/user/app:1", "user/app:1"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:2", "localhost:5000/app:2", "localhost:5000/app:2"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("Uppercase/app", "Uppercase/app", "Uppercase/app"),
        (f"alpine@{SHA}", f"docker.io/library/alpine@{SHA}", f"alpine@{SHA}"),
        (f"r.io/a:1@{SHA}", f"r.io/a:1@{SHA}", f"r.io/a:1@{SHA}"),
        ("a__b", "docker.io/library/a__b", "a__b"),
        ("a---b", "docker.io/library/a---b", "a---b"),
    ],
)
def test_reference_is_read_as_docker_reads_it(text: str, canonical: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert (reference.canonical, reference.familiar) == (canonical, familiar)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        (":latest", "invalid reference format"),
        ("alpine:", "invalid reference format"),
        ("alpine:tag:tag", "invalid reference format"),
        ("-alpine", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("alp ine", "invalid reference format"),
        ("alpine\n", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("alpine:" + "x" * 129, "invalid reference format"),
        ("alpine@sha256:abc", "invalid reference format"),
        ("alpine@sha256:" + "g" * 64, "invalid reference format"),
        ("alpine@sha256:" + "a" * 40, "invalid checksum digest length"),
        ("alpine@sha256:" + "A" * 64, "invalid checksum digest format"),
        ("alpine@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("X", "invalid reference format: repository name (library/X) must be lowercase"),
        ("r.io/Foo:Tag", "invalid reference format: repository name (Foo) must be lowercase"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("a/" + "b" * 255, "repository name must not be more than 255 characters"),
    ],
)
def test_what_names_nothing_is_refused_with_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        parse_reference(text)
    assert str(caught.value) == message


@given(references)
def test_canonical_form_is_read_back(reference: Reference) -> None:
    assert parse_canonical(reference.canonical) == reference
    assert parse_reference(reference.canonical) == reference
    assert parse_reference(reference.familiar) == reference


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_is_a_reference_or_an_invalid_one(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidReferenceError:
        return
    assert parse_reference(reference.canonical) == reference


def test_default_tag_is_added_only_without_tag_and_digest() -> None:
    assert parse_reference("a").with_default_tag().tag == "latest"
    assert parse_reference("a:1").with_default_tag().tag == "1"
    assert parse_reference(f"a@{SHA}").with_default_tag().tag is None


def test_tag_is_checked() -> None:
    with pytest.raises(InvalidReferenceError):
        parse_reference("a").with_tag("no spaces")


def test_longer_digests_are_digests() -> None:
    assert check_digest("sha512:" + "a" * 128)
    assert not is_digest("sha512:" + "a" * 64)


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("alpine", True),
        ("alp*", True),
        ("alpine:3", True),
        ("*:3", True),
        ("busybox", False),
        ("*/alpine", False),
        ("docker.io/library/alpine", False),
    ],
)
def test_pattern_is_matched_against_the_familiar_name(pattern: str, *, matched: bool) -> None:
    assert matches_pattern(parse_reference("alpine:3"), pattern=pattern) is matched


def test_star_in_a_pattern_stops_at_a_slash() -> None:
    assert not matches_pattern(parse_reference("user/app:1"), pattern="*")
    assert matches_pattern(parse_reference("user/app:1"), pattern="*/app")
