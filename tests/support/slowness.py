"""How long tests wait for what must come.

A deadline only tells a hang from work. On an emulated or crowded machine the same work takes
longer: `MOORAGE_TEST_SLOWNESS` multiplies every deadline of the tests. It changes nothing
else: not what a test asks of the daemon, and nothing in the daemon.
"""

import os
from typing import Final

SLOWNESS: Final = float(os.environ.get("MOORAGE_TEST_SLOWNESS", "1"))


def stretched(seconds: float) -> float:
    """Return how many seconds to wait here for what takes at most this many on an ordinary machine."""
    return seconds * SLOWNESS
