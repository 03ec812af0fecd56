"""The space that is kept for removals is really held."""

from pathlib import Path

from moorage.state.reserve import Reserve


def test_it_is_taken_once_given_back_and_taken_again(tmp_path: Path) -> None:
    file = tmp_path / "reserve"
    reserve = Reserve(file)
    states = [reserve.is_short]
    reserve.take()
    states.append(reserve.is_short)
    size = file.stat().st_size
    # Not a hole: only blocks that are there can be given back.
    assert file.stat().st_blocks * 512 >= size > 0
    Reserve(file).take()
    assert file.stat().st_size == size
    reserve.release()
    states.append(reserve.is_short)
    assert file.stat().st_size == 0
    reserve.take()
    assert (states, file.stat().st_size) == ([True, False, True], size)


def test_a_disk_that_gives_nothing_is_no_error(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "missing" / "reserve")
    reserve.take()
    reserve.release()
    assert reserve.is_short
