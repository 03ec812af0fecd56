"""One daemon for the tests of a module, and fresh ones for those that break it."""

from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, daemon


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    """A running daemon with the busybox image; nothing may be left of its containers at the end."""
    with daemon() as made:
        made.start()
        made.load_busybox()
        yield made
        made.assert_no_leaks()


@pytest.fixture
def moord(shared: Daemon) -> Iterator[Daemon]:
    """The module's daemon, without any container before and after the test."""
    yield shared
    if containers := shared.docker("ps", "-aq").split():
        shared.docker("rm", "-fv", *containers)


@pytest.fixture
def own() -> Iterator[Daemon]:
    """A daemon that the test may kill; it is started and has the busybox image."""
    with daemon() as made:
        made.start()
        made.load_busybox()
        yield made
