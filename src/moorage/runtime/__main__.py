"""Run moor-oci by path: `python -I -S <this directory> ...`."""

import os
import sys

# The directory of a program comes first in the path, where errors.py and namespaces.py
# would be modules of their own; what belongs there is the one that holds the package.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from moorage.runtime.main import main  # noqa: E402 - the path comes first

main(sys.argv[1:])
