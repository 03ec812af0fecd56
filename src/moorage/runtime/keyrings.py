"""The session keyring that all processes of one container share, and nobody else."""

from __future__ import annotations

from moorage.kernel import keyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def join_keyring(container_id: str, *, warn: Callable[[str], None]) -> None:
    """Leave the host's session keyring for the container's, made by the first to come."""
    try:
        keyring.join_session_keyring(f"_ses.{container_id}")
    except OSError as error:
        # A kernel without keys has none to share either; a quota or a filter around us
        # is no reason to refuse the start.
        warn(f"the session keyring is shared with the host: {error.strerror}")
