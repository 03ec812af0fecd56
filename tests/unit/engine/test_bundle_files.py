"""Bundles are removed beside the loop, and after what they tell is recorded."""

import asyncio
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from moorage.engine.containers import starting
from moorage.engine.containers.bundle_files import remove_bundle
from moorage.engine.containers.errors import StartRefusedError
from tests.unit.engine.fakes import ID, FakeEngine, record


async def test_a_slow_disk_holds_up_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end, rmtree = threading.Event(), threading.Event(), shutil.rmtree

    def slow(path: Path, **options: Any) -> None:
        began.set()
        assert may_end.wait(timeout=60)
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", slow)
    bundle = tmp_path / "bundle"
    (bundle / "exec").mkdir(parents=True)
    (bundle / "exec" / "note").touch()
    removing = asyncio.create_task(remove_bundle(bundle))
    # Both run while the disk is silent.
    await asyncio.to_thread(began.wait)
    assert not removing.done()
    may_end.set()
    await removing
    assert not bundle.exists()


async def test_a_missing_bundle_is_no_error(tmp_path: Path) -> None:
    await remove_bundle(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


async def test_a_failed_start_is_recorded_before_its_bundle_goes(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []

    async def remove(bundle: Path) -> None:
        if bundle.exists():
            recorded.append(engine.stored()[ID].state.exit_code)
        await remove_bundle(bundle)

    monkeypatch.setattr(starting, "remove_bundle", remove)
    await engine.add(record())
    engine.launcher.script = "fail"
    with pytest.raises(StartRefusedError):
        await engine.starter.start("web")
    assert recorded == [127]
    assert not engine.paths.bundle(ID).exists()
