"""What a registry counts, in the text form that Prometheus reads.

Spec: Prometheus, "Exposition formats", text-based format 0.0.4.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters since the start."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[tuple[str, str]] = Counter()
        self._collected: Counter[str] = Counter()
        self._proxied: Counter[tuple[str, str]] = Counter()

    def answered(self, *, method: str, resource: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests[method, resource, status] += 1
        self._seconds[method, resource] += seconds  # type: ignore[assignment]  # a Counter adds floats as well

    def collected(self, *, blobs: int, bytes_freed: int) -> None:
        """Count what a collection removed."""
        self._collected["runs"] += 1
        self._collected["blobs"] += blobs
        self._collected["bytes"] += bytes_freed

    def proxied(self, kind: str, *, hit: bool) -> None:
        """Count a request that a pull-through cache could, or could not, answer by itself."""
        self._proxied[kind, "hit" if hit else "miss"] += 1

    def text(self) -> str:
        """Return all counters."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield "# HELP registry_http_requests_total Requests by method, resource and status."
        yield "# TYPE registry_http_requests_total counter"
        for (method, resource, status), count in sorted(self._requests.items()):
            labels = f'method="{method}",handler="{resource}",code="{status}"'
            yield f"registry_http_requests_total{{{labels}}} {count}"
        yield "# HELP registry_http_request_duration_seconds Time from a request's head to the end of its answer."
        yield "# TYPE registry_http_request_duration_seconds summary"
        for (method, resource), seconds in sorted(self._seconds.items()):
            labels = f'method="{method}",handler="{resource}"'
            count = sum(n for (a, b, _), n in self._requests.items() if (a, b) == (method, resource))
            yield f"registry_http_request_duration_seconds_sum{{{labels}}} {seconds:.6f}"
            yield f"registry_http_request_duration_seconds_count{{{labels}}} {count}"
        yield "# HELP registry_proxy_requests_total Requests of a pull-through cache, answered from it or not."
        yield "# TYPE registry_proxy_requests_total counter"
        for (kind, outcome), count in sorted(self._proxied.items()):
            yield f'registry_proxy_requests_total{{type="{kind}",outcome="{outcome}"}} {count}'
        for name, meaning in (
            ("runs", "Garbage collections."),
            ("blobs", "Blobs that garbage collection removed."),
            ("bytes", "Bytes that garbage collection freed."),
        ):
            yield f"# HELP registry_collected_{name}_total {meaning}"
            yield f"# TYPE registry_collected_{name}_total counter"
            yield f"registry_collected_{name}_total {self._collected[name]}"
