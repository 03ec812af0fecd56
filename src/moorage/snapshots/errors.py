"""Errors about layers and about files of containers."""

from collections.abc import Sequence

from moorage.errors import (
    ConflictError,
    InvalidParameterError,
    NotFoundError,
    NotSupportedError,
    SystemFailureError,
)
from moorage.oci.digest import ChainID, DiffID


class SnapshotNotFoundError(NotFoundError):
    """A layer is not unpacked here."""

    def __init__(self, chain_id: ChainID) -> None:
        super().__init__(f"layer {chain_id} does not exist")
        self.chain_id = chain_id


class SnapshotInUseError(ConflictError):
    """A layer can't be removed: others stand on it."""

    def __init__(self, chain_id: ChainID) -> None:
        super().__init__(f"layer {chain_id} is in use by another layer")


class DiffIDMismatchError(InvalidParameterError):
    """A layer's content is not what the image config promises.

    Attributes:
        expected: The diff ID of the image config.
        actual: The diff ID of what was unpacked.
    """

    def __init__(self, expected: DiffID, actual: DiffID) -> None:
        # Docker's words when the manifest and the config disagree.
        super().__init__("layers from manifest don't match image configuration")
        self.expected = expected
        self.actual = actual


class JobInvalidError(InvalidParameterError):
    """A worker refused a request, an archive or a path."""


class PathNotFoundError(NotFoundError):
    """A path does not exist where a worker looked for it."""


class JobConflictError(ConflictError):
    """The present state of the files forbids a request."""


class JobNotSupportedError(NotSupportedError):
    """This host can't do what a worker was asked."""


class JobFailedError(SystemFailureError):
    """A worker met a failure of the host, or was lost."""


class WorkerLostError(JobFailedError):
    """A worker was killed, or the launcher before it had made one."""

    def __init__(self, job: str) -> None:
        super().__init__(f"worker for {job} ended without an answer")


class PathSilentError(SystemFailureError):
    """A path of the host is on a disk that does not answer."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(f"no answer from the file system of {' or '.join(paths)}: it may be a lost network mount")
