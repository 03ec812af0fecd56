"""Images in lists, as former versions of the API have them.

Spec: Engine API, GET /images/json and GET /system/df, versions 1.42 to 1.44.
"""

from typing import Final

import msgspec

from moorage.api.images import ImageSummary
from moorage.api.versions import Version

_WITHOUT_NONE_NAMES: Final = Version(1, 43)
_WITHOUT_VIRTUAL_SIZE: Final = Version(1, 44)


def summary_for(summary: ImageSummary, *, version: Version) -> ImageSummary:
    """Return an image's summary in the form of a version."""
    if version < _WITHOUT_NONE_NAMES:
        if summary.repo_tags or summary.repo_digests:
            # An engine of that age has no list where it has nothing to list.
            tags, digests = summary.repo_tags or None, summary.repo_digests or None
        else:
            tags, digests = ["<none>:<none>"], ["<none>@<none>"]
        summary = msgspec.structs.replace(summary, repo_tags=tags, repo_digests=digests)
    if version < _WITHOUT_VIRTUAL_SIZE:
        summary = msgspec.structs.replace(summary, virtual_size=summary.size)
    return summary
