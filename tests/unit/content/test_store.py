"""Blobs: verified, whole or not there, resumed, collected."""

import asyncio
import errno
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.content.collection import collect
from moorage.content.errors import (
    BlobDigestMismatchError,
    BlobNotFoundError,
    BlobSizeMismatchError,
    BlobTooLargeError,
)
from moorage.content.ingest import Ingest
from moorage.content.store import BlobStore
from moorage.oci.digest import Digest, digest_of

DATA = bytes(range(256)) * 20_000
DIGEST = digest_of(DATA)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore.open(tmp_path)


async def chunks_of(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_a_blob_is_there_after_its_commit_and_not_before(store: BlobStore) -> None:
    async with store.ingest(DIGEST, size=len(DATA)) as ingest:
        await ingest.write(DATA)
        assert not store.contains(DIGEST)
        blob = await ingest.commit()
    assert (blob.digest, blob.size) == (DIGEST, len(DATA))
    assert await store.read(DIGEST, limit=len(DATA)) == DATA
    assert store.list() == [blob]


async def test_a_blob_of_unknown_digest_gets_its_own(store: BlobStore) -> None:
    async with store.ingest(None) as ingest:
        await ingest.write(DATA)
        blob = await ingest.commit()
    assert blob.digest == DIGEST
    assert store.size(DIGEST) == len(DATA)


async def test_the_wrong_bytes_are_refused_and_not_kept(store: BlobStore, tmp_path: Path) -> None:
    async with store.ingest(DIGEST) as ingest:
        await ingest.write(b"something else")
        with pytest.raises(BlobDigestMismatchError, match=f"verification failed for digest {DIGEST}"):
            await ingest.commit()
    assert not store.contains(DIGEST)
    assert list((tmp_path / "ingest").iterdir()) == []


async def test_more_bytes_than_promised_are_refused_at_once(store: BlobStore, tmp_path: Path) -> None:
    async with store.ingest(DIGEST, size=10) as ingest:
        with pytest.raises(BlobSizeMismatchError):
            await ingest.write(DATA)
    assert list((tmp_path / "ingest").iterdir()) == []


async def test_a_cut_off_blob_goes_on_where_it_ended(store: BlobStore, tmp_path: Path) -> None:
    async with store.ingest(DIGEST, size=len(DATA)) as ingest:
        await ingest.write(DATA[:3_000_000])
    reopened = BlobStore.open(tmp_path)
    async with reopened.ingest(DIGEST, size=len(DATA)) as ingest:
        assert ingest.offset == 3_000_000
        await ingest.write(DATA[3_000_000:])
        await ingest.commit()
    assert reopened.contains(DIGEST)


async def test_too_few_bytes_are_refused_but_kept(store: BlobStore) -> None:
    async with store.ingest(DIGEST, size=len(DATA)) as ingest:
        await ingest.write(DATA[:-1])
        with pytest.raises(BlobSizeMismatchError):
            await ingest.commit()
    async with store.ingest(DIGEST, size=len(DATA)) as ingest:
        assert ingest.offset == len(DATA) - 1


async def test_a_source_that_begins_anew_drops_what_was_kept(store: BlobStore) -> None:
    async with store.ingest(DIGEST) as ingest:
        await ingest.write(b"the wrong beginning")
    async with store.ingest(DIGEST) as ingest:
        await ingest.restart()
        await ingest.write(DATA)
        await ingest.commit()
    assert store.path(DIGEST).read_bytes() == DATA


async def test_a_small_blob_is_whole_whatever_was_kept_of_it(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "ingest" / f"{hashlib.sha256(DATA).hexdigest()}.partial").write_bytes(b"kept of another try")
    assert store.path(await store.put(DATA)).read_bytes() == DATA


@pytest.mark.parametrize("size", [1 << 18, 10_000])
async def test_zeros_take_no_space(store: BlobStore, size: int) -> None:
    zeros, times = bytes(size), (100 << 18) // size
    async with store.ingest(None) as ingest:
        for chunk in (*([zeros] * times), b"data", *([zeros] * times)):
            await ingest.write(chunk)
        blob = await ingest.commit()
    assert blob.size == store.size(blob.digest) == 2 * times * size + 4
    assert store.path(blob.digest).stat().st_blocks * 512 < 1 << 20
    assert store.hash_of(blob.digest) == blob.digest


@given(st.lists(st.tuples(st.sampled_from([b"\0", b"x"]), st.integers(0, 200_000)), max_size=8), st.integers(0, 8))
async def test_holes_and_cuts_change_no_byte(runs: list[tuple[bytes, int]], cut: int) -> None:
    chunks = [byte * count for byte, count in runs]
    data = b"".join(chunks)
    with tempfile.TemporaryDirectory() as directory:
        store = BlobStore.open(Path(directory))
        async with store.ingest(digest_of(data)) as ingest:
            for chunk in chunks[:cut]:
                await ingest.write(chunk)
        async with store.ingest(digest_of(data)) as ingest:
            await ingest.write(data[ingest.offset :])
            await ingest.commit()
        assert await store.read(digest_of(data), limit=len(data) + 1) == data


async def test_a_write_that_fails_while_bytes_are_dropped_keeps_none(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"x" * (1 << 20)

    def full(_self: object, _batch: bytearray) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    async with store.ingest(digest_of(data), size=2 * len(data)) as ingest:
        await ingest.write(data)
        await ingest.write(b"")
        monkeypatch.setattr(Ingest, "_write", full)
        # This one is on its way to the full disk when all is dropped.
        await ingest.write(data)
        await ingest.restart()
        assert ingest.offset == 0
    assert [path for path in tmp_path.rglob("*.partial") if path.stat().st_size] == []


async def test_an_unnamed_blob_that_was_cut_off_is_dropped(store: BlobStore, tmp_path: Path) -> None:
    async def cut_off() -> None:
        async with store.ingest(None) as ingest:
            await ingest.write(DATA)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await cut_off()
    assert list((tmp_path / "ingest").iterdir()) == []


async def test_a_second_writer_waits_and_finds_the_blob(store: BlobStore) -> None:
    async def write() -> bool:
        async with store.ingest(DIGEST) as ingest:
            if ingest.complete:
                return False
            await ingest.write(DATA)
            await ingest.commit()
            return True

    assert sorted(await asyncio.gather(write(), write())) == [False, True]


async def test_the_stream_through_an_ingest_is_the_whole_blob(store: BlobStore) -> None:
    async with store.ingest(DIGEST) as ingest:
        await ingest.write(DATA[:1_000_000])
    async with store.ingest(DIGEST, size=len(DATA)) as ingest:
        through = [chunk async for chunk in ingest.through(chunks_of(DATA[ingest.offset :]))]
        assert not ingest.complete
        await ingest.commit()
    assert b"".join(through) == DATA
    async with store.ingest(DIGEST, size=len(DATA)) as ingest:
        assert ingest.complete
        assert b"".join([chunk async for chunk in ingest.through(chunks_of(b""))]) == DATA


async def test_the_stream_through_an_ingest_ends_in_the_error(store: BlobStore) -> None:
    async with store.ingest(DIGEST) as ingest:
        with pytest.raises(BlobDigestMismatchError):
            [chunk async for chunk in ingest.through(chunks_of(b"x" * 500_000))]


async def test_small_blobs_are_read_within_a_limit(store: BlobStore) -> None:
    digest = await store.put(b"{}")
    assert await store.put(b"{}") == digest
    assert await store.read(digest) == b"{}"
    with pytest.raises(BlobTooLargeError):
        await store.read(digest, limit=1)


async def test_a_large_blob_is_gone_at_once_and_its_room_given_back_afterwards(store: BlobStore) -> None:
    await store.put(DATA)
    path = str(store.path(DIGEST))
    await store.delete(DIGEST)
    assert not store.contains(DIGEST)
    assert store.list() == []
    await store.wait_freed()
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if str(fd.resolve()).startswith(path)]


async def test_what_is_not_there_has_its_error(store: BlobStore) -> None:
    with pytest.raises(BlobNotFoundError, match="not found"):
        await store.read(DIGEST)
    with pytest.raises(BlobNotFoundError):
        store.size(DIGEST)
    await store.delete(DIGEST)


def test_the_store_is_an_image_layout(store: BlobStore, tmp_path: Path) -> None:
    assert not store.contains(DIGEST)
    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((tmp_path / "index.json").read_bytes())["manifests"] == []


async def test_leftovers_without_a_name_go_when_the_store_is_opened(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "ingest" / "unnamed-1").write_bytes(b"left")
    (tmp_path / "ingest" / f"{hashlib.sha256(DATA).hexdigest()}.partial").write_bytes(DATA[:5])
    BlobStore.open(tmp_path)
    assert [path.suffix for path in (tmp_path / "ingest").iterdir()] == [".partial"]
    assert not store.list()


async def test_a_blob_that_nobody_goes_on_fetching_is_dropped_after_a_week(tmp_path: Path) -> None:
    store = BlobStore.open(tmp_path)
    partial = tmp_path / "ingest" / f"{'a' * 64}.partial"
    partial.write_bytes(b"half of it")
    began = partial.stat().st_mtime
    store.expire_partials(now=began + 6 * 86400)
    assert partial.exists()
    store.expire_partials(now=began + 8 * 86400)
    assert not partial.exists()


async def put_image(store: BlobStore, *layers: bytes) -> tuple[Digest, list[Digest]]:
    digests = [await store.put(layer) for layer in layers]
    config = await store.put(b'{"config":' + json.dumps(digests).encode() + b"}")
    manifest = {"config": {"digest": config}, "layers": [{"digest": digest} for digest in digests]}
    return await store.put(json.dumps(manifest).encode()), [config, *digests]


async def test_collection_keeps_what_roots_reach(store: BlobStore) -> None:
    kept, parts = await put_image(store, b"one", b"two")
    index = await store.put(json.dumps({"manifests": [{"digest": kept}, {"digest": DIGEST}]}).encode())
    dropped, _ = await put_image(store, b"two", b"three")
    collected = await collect(store, [index])
    assert {blob.digest for blob in store.list()} == {index, kept, *parts}
    assert dropped in collected.removed
    assert digest_of(b"three") in collected.removed
    assert len(collected.removed) == 3
    assert collected.reclaimed > 0


async def test_collection_leaves_alone_what_is_held(store: BlobStore) -> None:
    held = await store.put(b"in a pull")
    with store.hold() as hold:
        hold.add(held)
        assert (await collect(store, [])).removed == []
    assert (await collect(store, [])).removed == [held]
