"""Which versions are spoken."""

import pytest

from moorage.api.versions import (
    MAXIMUM,
    MalformedVersionError,
    Version,
    VersionTooNewError,
    VersionTooOldError,
    negotiate,
    read_version,
)


def test_versions_are_compared_by_number() -> None:
    assert read_version("1.9") < read_version("1.10")


def test_no_version_means_the_newest() -> None:
    assert negotiate(None) == MAXIMUM


@pytest.mark.parametrize("text", ["1.24", "1.41", "1.56"])
def test_spoken_versions_are_taken(text: str) -> None:
    assert str(negotiate(text)) == text


def test_others_are_refused_in_words_that_clients_look_for() -> None:
    with pytest.raises(VersionTooOldError, match=r"client version 1\.23 is too old\. Minimum supported API version is"):
        negotiate("1.23")
    with pytest.raises(VersionTooNewError, match=r"client version 1\.57 is too new\. Maximum supported API version is"):
        negotiate("1.57")


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1.2.3", "1.-1", "a.b", "1.٣", "1." + "9" * 5000])
def test_malformed_versions_are_refused(text: str) -> None:
    with pytest.raises(MalformedVersionError):
        read_version(text)


def test_version_prints_as_it_is_written() -> None:
    assert f"{Version(1, 44)}" == "1.44"
