"""Platforms: one spelling, and the best match."""

import pytest

from moorage.oci.descriptor import Descriptor, PlatformFields
from moorage.oci.digest import Digest
from moorage.oci.platform import (
    InvalidPlatformError,
    Platform,
    host_platform,
    matches,
    normalise,
    parse_platform,
    select,
)


def entry(text: str | None) -> Descriptor:
    platform = None
    if text is not None:
        os, architecture, *variant = text.split("/")
        platform = PlatformFields(os=os, architecture=architecture, variant=variant[0] if variant else None)
    return Descriptor(media_type="m", digest=Digest(f"sha256:{text}"), size=1, platform=platform)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i386", "linux/386"),
        ("arm64", "linux/arm64"),
        ("windows(10.0.1)/amd64", "windows/amd64"),
    ],
)
def test_platforms_have_one_spelling(text: str, normal: str) -> None:
    assert str(parse_platform(text)) == normal


def test_operating_system_alone_takes_the_hosts_processor() -> None:
    assert parse_platform("linux") == host_platform()


@pytest.mark.parametrize("text", ["", "linux/", "nonsense", "linux/a/b/c", "linux/am d64", "li$nux/amd64"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidPlatformError):
        parse_platform(text)


@pytest.mark.parametrize("text", ["", " ", "/", "li.nux/amd64", "windows(10/amd64"])
def test_what_is_no_operating_system_is_named_as_such(text: str) -> None:
    with pytest.raises(InvalidPlatformError, match="is an invalid OS component of"):
        parse_platform(text)


def test_exact_variant_is_preferred_to_an_older_one() -> None:
    entries = [entry("linux/arm/v5"), entry("linux/arm/v6"), entry("linux/arm/v7"), entry("linux/amd64")]
    assert select(entries, wanted=parse_platform("linux/arm")) is entries[2]
    assert select(entries, wanted=parse_platform("linux/arm/v6")) is entries[1]


def test_older_variant_is_better_than_none() -> None:
    entries = [entry("linux/arm/v5"), entry("linux/amd64")]
    assert select(entries, wanted=parse_platform("linux/arm/v7")) is entries[0]
    assert select(entries, wanted=parse_platform("linux/amd64/v3")) is entries[1]


def test_newer_variant_is_not_taken() -> None:
    assert select([entry("linux/arm/v7")], wanted=parse_platform("linux/arm/v6")) is None


def test_attestations_are_never_selected() -> None:
    assert select([entry("unknown/unknown")], wanted=Platform(os="linux", architecture="amd64")) is None


def test_entry_without_a_platform_is_the_last_resort() -> None:
    entries = [entry(None), entry("linux/amd64")]
    assert select(entries, wanted=parse_platform("linux/amd64")) is entries[1]
    assert select(entries, wanted=parse_platform("linux/arm64")) is entries[0]


def test_offer_matches_when_it_runs_there() -> None:
    assert matches(normalise(os="linux", architecture="arm", variant="v5"), wanted=parse_platform("linux/arm/v7"))
    assert not matches(normalise(os="linux", architecture="arm64"), wanted=parse_platform("linux/amd64"))
