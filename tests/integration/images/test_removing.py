"""Removing, pruning, listing, committing: what becomes of names and of the disk."""

import asyncio
import time

import pytest

from moorage.api.filters import Filters
from moorage.errors import ConflictError, InvalidParameterError, NotFoundError
from moorage.images.committing import Commit
from moorage.images.ports import ImageUser
from moorage.images.records import Image
from moorage.oci.digest import Digest
from moorage.oci.image_config import ContainerDefaults
from moorage.oci.reference import parse_reference
from moorage.state.images import ImageChange, ImageRows
from tests.support.images import Engine, in_pieces, tree
from tests.support.registry import fake_registry, layer_tar

pytestmark = pytest.mark.needs("root", "overlay")

BASE = layer_tar({"base": b"b" * 10_000})
TOP = layer_tar({"top": b"t" * 5_000})
CONTAINER = "c" * 64


async def tag(engine: Engine, image: str, name: str) -> None:
    await engine.tagger.tag(image, name=parse_reference(name))


def use(engine: Engine, image: Image, *, running: bool) -> None:
    engine.users.users[image.id] = [ImageUser(container_id=CONTAINER, running=running)]
    assert image.chain_id is not None
    engine.users.chains.add(image.chain_id)


async def child(engine: Engine, parent: Image, name: str | None = None, *, layer: bytes = TOP) -> Image:
    commit = Commit(
        parent=parent,
        config=ContainerDefaults(cmd=("x",)),
        container_config=ContainerDefaults(cmd=("touch", "top")),
        container_id=CONTAINER,
        author="me",
        comment="why",
        name=parse_reference(name) if name else None,
    )
    return await engine.committer.commit(commit, changes=in_pieces(layer))


async def test_last_tag_takes_the_image_with_it(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    done = await engine.remover.remove("a:1")
    assert [(item.untagged, item.deleted) for item in done] == [
        ("a:1", ""),
        ("", image.id),
        ("", image.chain_ids[0]),
    ]
    assert engine.catalog.images() == []
    assert engine.blobs.list() == []
    assert engine.snapshots.list() == []
    assert engine.events.actions[-2:] == ["untag", "delete"]


async def test_other_tags_keep_the_image(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    await tag(engine, "a:1", "b:2")
    assert [item.untagged for item in await engine.remover.remove("a:1")] == ["a:1"]
    assert engine.catalog.resolve("b:2").id == image.id


async def test_digest_goes_with_the_last_tag_of_its_repository(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE])
        await engine.pull(f"{registry.host}/app:1")
        await tag(engine, f"{registry.host}/app:1", "kept:1")
        done = await engine.remover.remove(f"{registry.host}/app:1")
        assert [item.untagged for item in done] == [
            f"{registry.host}/app:1",
            f"{registry.host}/app@{stored.digest}",
        ]
    assert engine.catalog.digests(Digest(stored.id)) == []


async def test_id_with_several_tags_needs_force(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    await tag(engine, "a:1", "b:1")
    with pytest.raises(ConflictError) as caught:
        await engine.remover.remove(image.id)
    short = image.id.removeprefix("sha256:")[:12]
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    )
    done = await engine.remover.remove(short, force=True)
    assert [item.untagged for item in done if item.untagged] == ["a:1", "b:1"]


async def test_image_of_a_running_container_stays_even_by_force(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    use(engine, image, running=True)
    with pytest.raises(ConflictError) as caught:
        await engine.remover.remove(image.id, force=True)
    assert str(caught.value) == (
        f"conflict: unable to delete {image.id[7:19]} (cannot be forced)"
        f" - image is being used by running container {CONTAINER[:12]}"
    )


async def test_last_tag_of_a_used_image_needs_force(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    use(engine, image, running=False)
    with pytest.raises(ConflictError) as caught:
        await engine.remover.remove("a:1")
    assert str(caught.value) == (
        'conflict: unable to remove repository reference "a:1" (must force)'
        f" - container {CONTAINER[:12]} is using its referenced image {image.id[7:19]}"
    )


async def test_layers_of_a_container_outlive_the_forced_removal(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    use(engine, image, running=False)
    await engine.remover.remove("a:1", force=True)
    assert engine.catalog.images() == []
    assert engine.snapshots.contains(image.chain_ids[0])
    engine.users.chains.clear()
    await engine.collector.collect()
    assert engine.snapshots.list() == []


async def test_shared_layers_stay(engine: Engine) -> None:
    base = await engine.import_(BASE, "a:1")
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[BASE, TOP])
        await engine.pull(f"{registry.host}/app:1")
        await engine.remover.remove(f"{registry.host}/app:1")
    assert tree(engine, base) == {"base": b"b" * 10_000}
    assert len(engine.snapshots.list()) == 1


async def test_missing_image_has_dockers_words(engine: Engine) -> None:
    for name, shown in [("a", "a:latest"), ("a:1", "a:1"), ("d" * 64, "sha256:" + "d" * 64), ("abc", "abc:latest")]:
        with pytest.raises(NotFoundError) as caught:
            await engine.remover.remove(name)
        assert str(caught.value) == f"No such image: {shown}"


async def test_ambiguous_beginning_of_an_id_finds_nothing(engine: Engine) -> None:
    for number in range(17):
        await engine.import_(layer_tar({"n": str(number).encode()}))
    first_digits = [image.id[7] for image in engine.catalog.images()]
    twice = next(digit for digit in first_digits if first_digits.count(digit) > 1)
    with pytest.raises(NotFoundError):
        engine.catalog.resolve(twice)


async def test_committed_image_stands_on_its_parent(engine: Engine) -> None:
    parent = await engine.import_(BASE, "a:1")
    image = await child(engine, parent, "b:1")
    assert tree(engine, image) == {"base": b"b" * 10_000, "top": b"t" * 5_000}
    assert image.parent == parent.id
    newest, oldest = engine.historian.history("b:1")
    assert (newest.created_by, newest.comment, newest.tags) == ("touch top", "why", ["b:1"])
    assert (oldest.id, oldest.tags) == (parent.id, ["a:1"])
    assert image.config.author == "me"


async def test_commit_without_a_change_adds_no_layer(engine: Engine) -> None:
    parent = await engine.import_(BASE, "a:1")
    image = await child(engine, parent, layer=bytes(1024))
    assert image.layers == parent.layers
    assert image.config.history[-1].empty_layer


async def test_parent_is_kept_while_it_has_children_and_goes_with_the_last(engine: Engine) -> None:
    parent = await engine.import_(BASE)
    image = await child(engine, parent, "b:1")
    with pytest.raises(ConflictError, match="image has dependent child images"):
        await engine.remover.remove(parent.id)
    done = await engine.remover.remove("b:1")
    images = [item.deleted for item in done if item.deleted in {image.id, parent.id}]
    assert images == [image.id, parent.id]
    assert engine.catalog.images() == []


async def test_layers_are_told_after_the_last_image_that_stood_on_them(engine: Engine) -> None:
    parent = await engine.import_(BASE)
    middle = await child(engine, parent, layer=layer_tar({"middle": b"m"}))
    top = await child(engine, middle, "c:1")
    done = await engine.remover.remove("c:1")
    assert [item.deleted or item.untagged for item in done] == [
        "c:1", top.id, top.chain_ids[2], middle.id, top.chain_ids[1], parent.id, top.chain_ids[0],
    ]  # fmt: skip


async def test_last_name_of_an_image_with_children_goes_alone(engine: Engine) -> None:
    parent = await engine.import_(BASE, "a:1")
    image = await child(engine, parent, "b:1")
    done = await engine.remover.remove("a:1")
    assert [(item.untagged, item.deleted) for item in done] == [("a:1", "")]
    assert {one.id for one in engine.catalog.images()} == {parent.id, image.id}
    assert engine.catalog.tags(parent.id) == []


async def test_last_name_of_a_running_containers_image_goes_alone_by_force(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    use(engine, image, running=True)
    done = await engine.remover.remove("a:1", force=True)
    assert [(item.untagged, item.deleted) for item in done] == [("a:1", "")]
    assert engine.catalog.images() == [image]


async def test_a_client_that_leaves_does_not_cut_a_removal(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.import_(BASE, "a:1")
    table, written = engine.catalog._table, asyncio.Event()
    apply = table.apply

    async def applied(_self: object, change: ImageChange) -> None:
        await apply(change)
        written.set()

    monkeypatch.setattr(ImageRows, "apply", applied)
    request = asyncio.create_task(engine.remover.remove("a:1"))
    await written.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await engine.jobs.finish(timeout=30)
    assert (engine.catalog.images(), table.images(), table.names()) == ([], [], [])
    assert (engine.blobs.list(), engine.snapshots.list()) == ([], [])
    assert engine.events.actions[-2:] == ["untag", "delete"]


async def test_the_last_name_and_the_image_go_in_one_change(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = await engine.import_(BASE)
    image = await child(engine, parent, "b:1")
    changes: list[ImageChange] = []

    async def applied(_self: object, change: ImageChange) -> None:
        changes.append(change)

    monkeypatch.setattr(ImageRows, "apply", applied)
    await engine.remover.remove("b:1")
    (change,) = changes
    assert change.delete_names == ("docker.io/library/b:1",)
    assert change.delete_images == (image.id, parent.id)


async def test_parent_stays_when_asked_to(engine: Engine) -> None:
    parent = await engine.import_(BASE)
    await child(engine, parent, "b:1")
    await engine.remover.remove("b:1", prune_parents=False)
    assert engine.catalog.images() == [parent]


async def test_list_hides_parents_and_sorts_by_age(engine: Engine) -> None:
    parent = await engine.import_(BASE)
    image = await child(engine, parent, "b:1")
    assert [one.id for one in engine.lister.list_images(Filters())] == [image.id]
    assert [one.id for one in engine.lister.list_images(Filters(), all=True)] == [image.id, parent.id]


async def test_list_counts_shared_layers_and_containers(engine: Engine) -> None:
    parent = await engine.import_(BASE, "a:1")
    image = await child(engine, parent, "b:1")
    use(engine, image, running=True)
    first, second = engine.lister.list_images(Filters(), shared_size=True, containers=True)
    assert (first.containers, second.containers) == (1, 0)
    assert first.shared_size == second.shared_size == parent.size
    assert first.size == image.size > parent.size


async def test_list_is_bounded_by_every_point_in_time_that_is_given(engine: Engine) -> None:
    first, second, third = [await engine.import_(layer_tar({"x": bytes([n])}), f"n:{n}") for n in range(3)]

    def listed(**filters: tuple[str, ...]) -> set[str]:
        return {one.id for one in engine.lister.list_images(Filters(filters))}

    def moment(image: Image) -> str:
        return f"{image.made_ns // 10**9}.{image.made_ns % 10**9:09}"

    assert listed(until=(moment(second),)) == {first.id}
    assert listed(until=(moment(second), moment(third))) == listed(until=(moment(third), moment(second))) == {first.id}
    assert listed(before=("n:1", "n:2")) == listed(before=("n:2", "n:1")) == {first.id}
    assert listed(since=("n:0", "n:1")) == listed(since=("n:1", "n:0")) == {third.id}


async def test_list_is_filtered(engine: Engine) -> None:
    old = await engine.import_(BASE, "a:1", changes=["LABEL k=v"])
    new = await engine.import_(TOP, "b/c:2")
    dangling = await engine.import_(layer_tar({"x": b""}))

    def listed(**filters: str) -> set[str]:
        found = engine.lister.list_images(Filters({key: (value,) for key, value in filters.items()}))
        return {one.id for one in found}

    assert listed(dangling="true") == {dangling.id}
    assert listed(dangling="false") == {old.id, new.id}
    assert listed(label="k") == listed(label="k=v") == {old.id}
    assert listed(label="k=w") == set()
    assert listed(reference="a") == listed(reference="a:1") == listed(reference="?:*") == {old.id}
    assert listed(reference="b/*") == {new.id}
    assert listed(before="b/c:2") == {old.id}
    assert listed(since="a:1") == {new.id, dangling.id}
    assert listed(until=str(int(time.time()) + 60)) == {old.id, new.id, dangling.id}
    assert listed(until="1") == set()
    with pytest.raises(NotFoundError):
        listed(before="nothing")
    with pytest.raises(InvalidParameterError):
        listed(dangling="perhaps")


async def test_prune_deletes_what_dangles_and_counts_it(engine: Engine) -> None:
    kept = await engine.import_(BASE, "a:1")
    gone = await engine.import_(TOP)
    report = await engine.pruner.prune(Filters())
    assert [item.deleted for item in report.images_deleted or []] == [gone.id, gone.chain_ids[0]]
    assert report.space_reclaimed == gone.size
    assert engine.catalog.images() == [kept]
    assert engine.events.events[-1] == ("prune", "", {"reclaimed": str(gone.size)})


async def test_prune_of_all_spares_only_what_containers_use(engine: Engine) -> None:
    used = await engine.import_(BASE, "a:1")
    use(engine, used, running=False)
    await engine.import_(TOP, "b:1")
    await engine.pruner.prune(Filters({"dangling": ("false",)}))
    assert engine.catalog.images() == [used]


async def test_prune_respects_labels_and_age(engine: Engine) -> None:
    await engine.import_(BASE, changes=["LABEL keep=1"])
    assert (await engine.pruner.prune(Filters({"label!": ("keep",)}))).images_deleted is None
    assert (await engine.pruner.prune(Filters({"until": ("1h",)}))).images_deleted is None
    assert (await engine.pruner.prune(Filters({"label": ("keep",)}))).images_deleted is not None


async def test_pushing_what_is_not_there_says_so(engine: Engine) -> None:
    with pytest.raises(NotFoundError) as caught:
        await engine.pusher.push(parse_reference("a/b:1"), report=lambda _: None)
    assert str(caught.value) == "An image does not exist locally with the tag: a/b"
    await engine.import_(BASE, "a/b:2")
    with pytest.raises(NotFoundError, match="tag does not exist: a/b:1"):
        await engine.pusher.push(parse_reference("a/b:1"), report=lambda _: None)


async def test_a_name_that_reads_like_an_id_is_refused(engine: Engine) -> None:
    await engine.import_(BASE, "a:1")
    with pytest.raises(InvalidParameterError, match="ambiguous tag using digest algorithm as name"):
        await tag(engine, "a:1", "sha256:abc")
    with pytest.raises(InvalidParameterError, match="ambiguous tag"):
        await engine.import_(TOP, "sha256:abc")
    await tag(engine, "a:1", "me/sha256:abc")
    assert len(engine.catalog.images()) == 1


async def test_a_broken_pattern_or_time_is_told(engine: Engine) -> None:
    await engine.import_(BASE, "a:1")
    with pytest.raises(InvalidParameterError, match="syntax error in pattern"):
        engine.lister.list_images(Filters({"reference": ("[",)}))
    with pytest.raises(InvalidParameterError, match='failed to parse value as time or duration: "soon"'):
        await engine.pruner.prune(Filters({"until": ("soon",)}))


async def test_digest_is_no_new_tag(engine: Engine) -> None:
    image = await engine.import_(BASE, "a:1")
    with pytest.raises(InvalidParameterError, match="refusing to create an ambiguous tag using digest algorithm"):
        await engine.tagger.tag(image.id, name=parse_reference("sha256:tag"))
    with pytest.raises(InvalidParameterError, match="refusing to create a tag with a digest reference"):
        await engine.tagger.tag("a:1", name=parse_reference(f"b@{image.manifest}"))
