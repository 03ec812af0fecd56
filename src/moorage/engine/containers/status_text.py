"""The text that a list shows for a container's state: "Up 5 minutes", "Exited (0) 3 seconds ago".

Pure. The rounding is Docker's, because scripts read it.
"""

from moorage.engine.containers.records import ContainerState, Health, HealthStatus

_SECOND = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


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


def human_duration(seconds: int) -> str:
    """Return a duration in whole seconds the way Docker tells it to people."""
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // _MINUTE
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    # Hours are rounded, everything above is cut.
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    return _long_duration(hours, seconds)


def _long_duration(hours: int, seconds: int) -> str:
    days = hours // 24
    if hours < 48:
        return f"{hours} hours"
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{seconds // _DAY // 365} years"
