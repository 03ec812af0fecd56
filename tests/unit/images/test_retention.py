"""Which images go when the disk fills."""

from collections.abc import Mapping

from moorage.images.retention import DiskUse, Holding, RetentionPolicy, plan_removals

HOUR = 3600 * 10**9
NOW = 1000 * HOUR
POLICY = RetentionPolicy(high=80, low=50, min_age_ns=24 * HOUR, keep_labels=("keep=true", "pinned"))


def holding(
    name: str,
    *,
    age: int = 100,
    in_use: bool = False,
    labels: Mapping[str, str] | None = None,
    parent: str | None = None,
    **pieces: int,
) -> Holding:
    return Holding(
        id=name,
        used_ns=NOW - age * HOUR,
        in_use=in_use,
        labels=labels or {},
        parent=parent,
        pieces=pieces or {name: 10},
    )


def planned(*holdings: Holding, used: int = 100, policy: RetentionPolicy = POLICY) -> list[tuple[str, int]]:
    plan = plan_removals(holdings, disk=DiskUse(used=used, total=100), policy=policy, now_ns=NOW)
    return [(each.id, each.size) for each in plan]


def test_the_least_recently_used_go_first_and_no_more_than_needed() -> None:
    images = [holding("b", age=60), holding("c", age=50), holding("a", age=70)]
    assert planned(*images, used=65) == [("a", 10), ("b", 10)]
    assert planned(*images, used=60) == [("a", 10)]
    assert planned(*images, used=50) == []
    assert planned(*images) == [("a", 10), ("b", 10), ("c", 10)]


def test_what_is_in_use_young_or_pinned_stays() -> None:
    images = [
        holding("used", in_use=True),
        holding("young", age=23),
        holding("kept", labels={"keep": "true"}),
        holding("pinned", labels={"pinned": "whatever"}),
        holding("other", labels={"keep": "false"}),
    ]
    assert planned(*images) == [("other", 10)]


def test_shared_layers_count_when_the_last_of_their_images_goes() -> None:
    images = [holding("a", age=70, base=30, own=1), holding("b", age=60, base=30), holding("c", in_use=True, low=5)]
    assert planned(*images) == [("a", 1), ("b", 30)]
    assert planned(*images, holding("d", in_use=True, base=30)) == [("a", 1), ("b", 0)]


def test_a_parent_goes_after_its_children() -> None:
    images = [holding("parent", age=90), holding("child", age=50, parent="parent"), holding("alone", age=40)]
    assert planned(*images) == [("child", 10), ("parent", 10), ("alone", 10)]
    kept = holding("child", age=50, parent="parent", in_use=True)
    assert planned(images[0], kept) == []


def test_a_disk_is_as_full_as_df_says() -> None:
    assert DiskUse(used=801, total=1000).percent == 81
    assert DiskUse(used=0, total=0).percent == 0
    assert DiskUse(used=801, total=1000).above(80) == 1
