"""Run moor-oci by path: `python -I -S <this file> ...`."""

import os
import sys

# A directory given as the program comes first in the path, where errors.py and
# namespaces.py would be modules of their own; what belongs there holds the package.
_here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
if sys.path[0] == _here:
    del sys.path[0]
sys.path.insert(0, os.path.dirname(os.path.dirname(_here)))  # noqa: PTH120

from moorage.runtime.main import main  # noqa: E402 - the path comes first

main(sys.argv[1:])
