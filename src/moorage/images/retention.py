"""Which images to remove when the disk fills: the policy, and the plan. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """When unused images are removed, and which.

    Attributes:
        high: Percent of the disk in use from which images are removed.
        low: Percent at which that ends.
        min_age_ns: An image that came, was tagged or was used later is kept.
        keep_labels: `key` or `key=value`; an image with one of them is kept.
        interval_ns: Time between two looks at the disk.
    """

    high: int = 85
    low: int = 75
    min_age_ns: int = 24 * 3600 * _NANOSECONDS
    keep_labels: tuple[str, ...] = ()
    interval_ns: int = 600 * _NANOSECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """Bytes of a file system; `total` is what is used and what may be."""

    used: int
    total: int

    @property
    def percent(self) -> int:
        """How full it is, rounded up as df(1) does."""
        return -(-100 * self.used // self.total) if self.total else 0

    def above(self, percent: int) -> int:
        """Return the bytes that are used beyond a share; 0 if none are."""
        return max(0, self.used - self.total * percent // 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An image, as far as the plan is about it.

    Attributes:
        used_ns: When it was last needed: it came, was tagged, or a container of it was made or removed.
        in_use: There is a container of it, or it goes with another platform's image.
        parent: The image that it was made from here, and that can't go before it.
        pieces: Bytes of its blobs and layers by digest; others may have some of them too.
    """

    id: str
    used_ns: int
    in_use: bool
    labels: Mapping[str, str]
    parent: str | None
    pieces: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRemoval:
    """An image that is to go, and the bytes that this gives back."""

    id: str
    size: int
    used_ns: int


def plan_removals(
    holdings: Sequence[Holding], *, disk: DiskUse, policy: RetentionPolicy, now_ns: int
) -> list[PlannedRemoval]:
    """Choose unused images, the least recently used first, until the disk would be below the low watermark."""
    wanted = disk.above(policy.low)
    holders = Counter(piece for holding in holdings for piece in holding.pieces)
    children = Counter(holding.parent for holding in holdings if holding.parent)
    waiting = [holding for holding in holdings if _may_go(holding, policy, now_ns)]
    waiting.sort(key=lambda holding: (holding.used_ns, holding.id))
    plan: list[PlannedRemoval] = []
    freed = 0
    while freed < wanted:
        # An image that others were made from becomes free when they are planned.
        chosen = next((holding for holding in waiting if not children[holding.id]), None)
        if chosen is None:
            break
        waiting.remove(chosen)
        children[chosen.parent or ""] -= 1
        holders.subtract(chosen.pieces.keys())
        size = sum(size for piece, size in chosen.pieces.items() if not holders[piece])
        freed += size
        plan.append(PlannedRemoval(id=chosen.id, size=size, used_ns=chosen.used_ns))
    return plan


def _may_go(holding: Holding, policy: RetentionPolicy, now_ns: int) -> bool:
    if holding.in_use or now_ns - holding.used_ns < policy.min_age_ns:
        return False
    return not _is_pinned(holding.labels, policy.keep_labels)


def _is_pinned(labels: Mapping[str, str], pins: Iterable[str]) -> bool:
    for pin in pins:
        key, separator, value = pin.partition("=")
        if key in labels and (not separator or labels[key] == value):
            return True
    return False
