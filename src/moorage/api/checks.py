"""What Moorage's own operations on the store take and answer: its check, and the removal of unused images."""

import enum

from msgspec import field

from moorage.api.query import Query
from moorage.api.wire import Model, always


class CheckQuery(Query):
    """Parameters of POST /system/check.

    Attributes:
        repair: Mend what can be mended.
        quick: Look at sizes and names only, not at contents.
        contents: Compare the contents of all unpacked files, too.
    """

    repair: bool = False
    quick: bool = False
    contents: bool = False


class FindingKind(enum.StrEnum):
    """What can be wrong with the store."""

    BLOB_DAMAGED = "blob-damaged"
    BLOB_UNUSED = "blob-unused"
    IMAGE_INCOMPLETE = "image-incomplete"
    IMAGE_UNREADABLE = "image-unreadable"
    INDEX_MISSING = "index-missing"
    SNAPSHOT_DAMAGED = "snapshot-damaged"
    SNAPSHOT_UNUSED = "snapshot-unused"
    FILE_UNKNOWN = "file-unknown"
    CONTAINER_FILES_MISSING = "container-files-missing"
    DIRECTORY_MISSING = "directory-missing"
    CONTAINER_UNKNOWN = "container-unknown"
    BUNDLE_UNKNOWN = "bundle-unknown"
    VOLUME_FILES_MISSING = "volume-files-missing"
    VOLUME_UNKNOWN = "volume-unknown"


class Outcome(enum.StrEnum):
    """What was done about a finding."""

    FOUND = "found"
    MENDED = "mended"
    LEFT = "left"


class CheckFinding(Model):
    """One thing that is wrong.

    Attributes:
        subject: A digest, a name, an ID or a path.
        detail: What is wrong with it.
        advice: What was done, or what a person can do.
    """

    kind: FindingKind
    subject: str
    detail: str = always(default="")
    outcome: Outcome = always(default=Outcome.FOUND)
    advice: str = ""


class CheckSummary(Model):
    """The end of a check.

    Attributes:
        checked: How much was looked at, by kind.
        left: Findings that were not mended.
    """

    checked: dict[str, int] = field(default_factory=dict)
    found: int = always(default=0)
    mended: int = always(default=0)
    left: int = always(default=0)


class CleaningQuery(Query):
    """Parameters of POST /system/gc; `dry_run` only tells what would be removed."""

    dry_run: bool = field(default=False, name="dry-run")


class CleanedImage(Model):
    """An image that was removed, or would be.

    Attributes:
        last_used: When it came, was tagged, or a container of it was made or removed.
        size: Bytes that this gives back.
    """

    id: str = field(name="ID")
    names: list[str] = always(default=[])
    last_used: str = always(default="")
    size: int = always(default=0)


class CleaningReport(Model):
    """What a removal of unused images did; percentages are of the disk, before it."""

    dry_run: bool = always(default=False)
    used_percent: int = always(default=0)
    high_watermark: int = always(default=0)
    low_watermark: int = always(default=0)
    images: list[CleanedImage] = always(default=[])
    space_reclaimed: int = always(default=0)


class CheckLine(Model):
    """One line of the answer: a finding, or at the end the summary, or why there is none."""

    finding: CheckFinding | None = None
    summary: CheckSummary | None = None
    error: str = field(default="", name="error")
