"""The text that a list shows for a container's state: "Up 5 minutes", "Exited (0) 3 seconds ago".

Pure. The rounding is Docker's, because scripts read it.
"""

from moorage.api.durations import human_duration
from moorage.engine.containers.records import ContainerState, Health, HealthStatus

_SECOND = 1_000_000_000


def status_text(state: ContainerState, *, now_ns: int) -> str:
    """Return the text for a state at the time `now_ns`."""
    return _running_text(state, now_ns) if state.running else _stopped_text(state, now_ns)


def _running_text(state: ContainerState, now_ns: int) -> str:
    if state.restarting:
        return f"Restarting ({state.exit_code}) {_since(state.finished_at_ns, now_ns)} ago"
    up = f"Up {_since(state.started_at_ns, now_ns)}"
    if state.paused:
        return f"{up} (Paused)"
    return f"{up} ({health_text(state.health)})" if state.health else up


def _stopped_text(state: ContainerState, now_ns: int) -> str:
    if state.removing:
        return "Removal In Progress"
    if state.dead:
        return "Dead"
    if not state.started_at_ns:
        return "Created"
    if not state.finished_at_ns:
        return ""
    return f"Exited ({state.exit_code}) {_since(state.finished_at_ns, now_ns)} ago"


def health_text(health: Health) -> str:
    """Return the word for a health record."""
    return "health: starting" if health.status is HealthStatus.STARTING else health.status.value


def _since(then_ns: int, now_ns: int) -> str:
    return human_duration(max(0, now_ns - then_ns) // _SECOND)
