"""Images in lists, as former versions of the API have them."""

from moorage.api.images import ImageSummary
from moorage.api.versions import Version
from moorage.server.handlers.former_images import summary_for

TAGGED = ImageSummary(id="sha256:1", repo_tags=["app:1"], size=7)
UNNAMED = ImageSummary(id="sha256:2", size=7)


def test_an_image_without_names_was_called_none_once() -> None:
    old = summary_for(UNNAMED, version=Version(1, 42))
    assert (old.repo_tags, old.repo_digests) == (["<none>:<none>"], ["<none>@<none>"])
    assert summary_for(UNNAMED, version=Version(1, 43)).repo_tags == []


def test_there_was_no_list_of_no_digests_once() -> None:
    assert summary_for(TAGGED, version=Version(1, 42)).repo_digests is None
    assert summary_for(TAGGED, version=Version(1, 43)).repo_digests == []


def test_the_size_had_a_second_name_once() -> None:
    assert summary_for(TAGGED, version=Version(1, 43)).virtual_size == 7
    assert summary_for(TAGGED, version=Version(1, 44)).virtual_size == 0
