"""Says in one sentence what is missing before anything is installed; runs on any Python 3."""

import sys

FOUND = f"{sys.version_info[0]}.{sys.version_info[1]} at {sys.executable}"

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"Perennial needs Python 3.11, 3.12 or 3.13; this is {FOUND}. Name another: make PYTHON=python3.12 ...")
try:
    import ensurepip  # noqa: F401  only whether it is there
    import venv  # noqa: F401
except ImportError:
    sys.exit(f"Python {FOUND} cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv")
