"""What a process holds of memory that it does not need any more: given back before the next large step."""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa


def give_back() -> None:
    """Return freed memory to the system; the C library would keep what lies between two blocks in use.

    Of other systems than Linux only Arrow's part is returned.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none and keeps nothing
        if trim is not None:
            trim(0)
