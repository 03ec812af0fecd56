"""The disks of the host that the tests run on."""

from pathlib import Path


def whole_disks() -> list[tuple[str, str]]:
    """Return the path and the numbers of each disk whose throttling the kernel takes, by name."""
    return [
        (f"/dev/{entry.name}", (entry / "dev").read_text().strip())
        for entry in sorted(Path("/sys/block").iterdir())
        if not entry.name.startswith(("loop", "ram", "zram"))
    ]
