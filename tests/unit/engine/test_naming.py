"""IDs of containers."""

from moorage.engine.containers.naming import new_id


def test_a_host_name_is_no_number() -> None:
    drawn = iter(["1" * 64, "0123456789" * 6 + "abcd", "12345678901f" + "0" * 52])
    assert new_id(lambda: next(drawn)) == "12345678901f" + "0" * 52


def test_ids_have_their_length() -> None:
    assert len(new_id()) == len({new_id() for _ in range(64)}) == 64
