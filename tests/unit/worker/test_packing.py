"""Files as members of an archive."""

import os
import tarfile
from pathlib import Path

from moorage.worker.packing import Packer


def test_link_whose_first_name_has_vanished_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(b"content")
    (tmp_path / "second").hardlink_to(tmp_path / "first")
    status = (tmp_path / "first").stat()
    directory_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with (tmp_path / "archive").open("wb") as archive:
        packer = Packer(archive.fileno())
        (tmp_path / "first").rename(tmp_path / "elsewhere")
        for name in (b"first", b"second", b"elsewhere"):
            packer.add(directory_fd, name, name, status)
        packer.output.finish()
    os.close(directory_fd)
    with tarfile.open(tmp_path / "archive") as read:
        found = {member.name: (member.type, member.linkname) for member in read}
    assert found == {"second": (tarfile.REGTYPE, ""), "elsewhere": (tarfile.LNKTYPE, "second")}
