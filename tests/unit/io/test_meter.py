"""What work takes is counted from its start."""

from __future__ import annotations

import subprocess
import sys

from perennial.io.meter import Meter

BUSY = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_the_compute_of_a_child_counts_once_it_has_ended():
    """A child that works for 0.3 s, while this process only waits."""
    meter = Meter.started()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    spent = meter.spent()

    assert spent["compute_seconds"] >= 0.3
    assert spent["wall_seconds"] >= 0.3
