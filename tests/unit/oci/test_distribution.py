"""Headers and error bodies of registries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.oci.distribution import (
    Challenge,
    RegistryFault,
    fault_of_challenge,
    next_link,
    parse_challenges,
    parse_content_range,
    parse_faults,
    parse_upload_range,
)


def test_bearer_challenge_is_read() -> None:
    header = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push"'
    assert parse_challenges(header) == [
        Challenge(
            scheme="bearer",
            parameters={
                "realm": "https://auth.docker.io/token",
                "service": "registry.docker.io",
                "scope": "repository:a:pull,push",
            },
        )
    ]


def test_several_challenges_in_one_header_are_told_apart() -> None:
    found = parse_challenges('Basic realm="a, b", Bearer realm=x, service="y\\"z"')
    assert [challenge.scheme for challenge in found] == ["basic", "bearer"]
    assert found[0].parameters == {"realm": "a, b"}
    assert found[1].parameters == {"realm": "x", "service": 'y"z'}


def test_challenge_may_have_no_parameters() -> None:
    assert parse_challenges("Negotiate") == [Challenge(scheme="negotiate", parameters={})]


@given(st.text(max_size=200))
def test_any_header_is_parsed_without_an_error(header: str) -> None:
    parse_challenges(header)
    next_link(header)
    parse_content_range(header)
    parse_upload_range(header)


@given(st.binary(max_size=200))
def test_any_error_body_is_parsed_without_an_error(body: bytes) -> None:
    parse_faults(body, status=404)


def test_fault_is_worded_as_docker_words_it() -> None:
    [fault] = parse_faults(b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', status=404)
    assert str(fault) == "manifest unknown: manifest unknown"
    assert str(RegistryFault(code="DENIED")) == "denied: requested access to the resource is denied"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"details":"slow down"}', 429, "TOOMANYREQUESTS"),
        (b'{"message":"no"}', 403, "DENIED"),
        (b'{"details":"who"}', 401, "UNAUTHORIZED"),
        (b'{"errors":[{}]}', 400, "UNKNOWN"),
    ],
)
def test_shorter_error_bodies_get_the_code_of_their_status(body: bytes, status: int, code: str) -> None:
    assert parse_faults(body, status=status)[0].code == code


@pytest.mark.parametrize("body", [b"", b"404 page not found", b"{}", b"[]", b'{"errors":[]}', b'{"errors":5}'])
def test_body_that_explains_nothing_has_no_faults(body: bytes) -> None:
    assert parse_faults(body, status=404) == []


def test_missing_scope_means_denied() -> None:
    challenges = parse_challenges('Bearer realm="r",error="insufficient_scope"')
    fault = fault_of_challenge(challenges)
    assert fault is not None
    assert fault.code == "DENIED"


def test_next_page_is_found() -> None:
    assert next_link('</v2/a/tags/list?last=b&n=2>; rel="next"') == "/v2/a/tags/list?last=b&n=2"
    assert next_link('</x>; rel="prev"') is None


def test_ranges_are_read() -> None:
    assert parse_content_range("bytes 5-9/10") == (5, 9)
    assert parse_content_range("bytes 9-5/10") is None
    assert parse_upload_range("0-99") == 100
    assert parse_upload_range("0-0") == 0
