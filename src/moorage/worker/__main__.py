"""Run one job from a command line: `python -m moorage.worker REQUEST CONTROL_FD [FD ...]`.

For tests and tools; the daemon's workers are forks of the launcher.
"""

from __future__ import annotations

import json
import os
import sys

from moorage.worker.main import run

run(json.loads(sys.argv[1]), int(sys.argv[2]), [int(argument) for argument in sys.argv[3:]])
os._exit(0)
