"""What a container can look up, from files that change under it."""

import json
from pathlib import Path

from moorage.shim.resolver.zones import Directory


def write(path: Path, document: object) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


def directory(tmp_path: Path, **links: str) -> Directory:
    write(tmp_path / "front.json", {"network": "Front", "holders": [
        {"names": ["Web", "www", "0123456789ab"], "addresses": ["172.18.0.2", "fd00::2"]},
        {"names": ["web.two", "www"], "addresses": ["172.18.0.3"]},
    ]})  # fmt: skip
    zones = [{"file": str(tmp_path / "front.json"), "network": "Front"}]
    upstream = [{"server": "10.0.0.53", "inside": False}]
    write(tmp_path / "resolver.json", {"zones": zones, "links": links, "upstream": upstream})
    return Directory(str(tmp_path / "resolver.json"))


def test_names_aliases_and_short_ids_are_found_with_and_without_the_network(tmp_path: Path) -> None:
    found = directory(tmp_path)
    for name in ("web", "0123456789ab", "web.front", "0123456789ab.front"):
        assert found.lookup(name) == ["172.18.0.2", "fd00::2"]
    assert found.lookup("web.two.front") == ["172.18.0.3"]
    assert found.lookup("nobody") is None


def test_an_alias_of_several_has_all_their_addresses(tmp_path: Path) -> None:
    assert directory(tmp_path).lookup("www") == ["172.18.0.2", "fd00::2", "172.18.0.3"]


def test_a_link_is_a_name_of_this_container_only(tmp_path: Path) -> None:
    assert directory(tmp_path, db="web.two").lookup("db") == ["172.18.0.3"]


def test_an_address_has_its_first_name(tmp_path: Path) -> None:
    assert directory(tmp_path).owner("172.18.0.3") == "web.two.front"
    assert directory(tmp_path).owner("9.9.9.9") is None


def test_a_replaced_zone_counts_at_once(tmp_path: Path) -> None:
    found = directory(tmp_path)
    assert found.lookup("web")
    write(tmp_path / "front.json", {"network": "front", "holders": []})
    assert found.lookup("web") is None


def test_without_files_nothing_is_known(tmp_path: Path) -> None:
    found = directory(tmp_path)
    (tmp_path / "front.json").unlink()
    assert found.lookup("web") is None
    (tmp_path / "resolver.json").write_text("{broken")
    assert found.upstream() == []
    assert Directory(str(tmp_path / "missing")).lookup("web") is None
