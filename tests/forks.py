"""Children that are forked from one clean server, which has imported what they need and used none of it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

import pytest

# What the children of all test files import: a process has one server, which the first of them starts.
PRELOADED = [
    "feeding",
    "killing",
    "pytest",
    "perennial.adapters",
    "adbc_driver_postgresql.dbapi",
    "duckdb",
    "deltalake",
]


@cache
def context() -> ForkServerContext:
    """Return the context whose server runs."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        # When it preloads, the server sees its environment and not the path of the process that starts it.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return found
