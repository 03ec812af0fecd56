"""Run the launcher by path: `python -I -S <this directory> --socket N --run-root DIR --pool N`.

By path, because neither -I nor -S leaves an installed package to be found by its name, and
without them whatever is in the environment could put itself before the standard library.
"""

import os
import sys

# The directory of a program comes first in the path, where main.py and pool.py would be
# modules of their own; what belongs there is the directory that holds the package.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from moorage.launcher.sealing import run_from_sealed_copy  # noqa: E402 - the path comes first

# Before the imports that take long, which would else be made twice.
run_from_sealed_copy()

from moorage.launcher.main import main  # noqa: E402

main(sys.argv[1:])
