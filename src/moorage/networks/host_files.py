"""Files of the host that are read at every start and change once in a while."""

import os


class HostFiles:
    """Contents of files, read again only when the file has changed."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[int, int, int], str]] = {}

    def read(self, path: str) -> str:
        """Return a file's content, "" if it cannot be read."""
        try:
            found = os.stat(path)  # noqa: PTH116 - a tenth of the time, at every start of a container
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._seen.get(path)
            if known is None or known[0] != state:
                with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - likewise
                    known = self._seen[path] = (state, file.read())
        except OSError:
            return ""
        return known[1]
