"""The data plane in one table: features, a day's run, ingest, parallel days, validation, and the live backfill.

`make bench-data`, or `.venv/bin/python -m benchmarks.bench_data --only features ingest`. Each section is a module of
its own that can be run alone; its docstring says who is held against whom. 1 where a promise is not kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import bench_validation, data_days, data_features, data_ingest, data_live
from benchmarks.claims import Claim, show

SECTIONS: dict[str, Callable[[], list[Claim]]] = {
    "features": data_features.measure,
    "days": data_days.measure,
    "ingest": data_ingest.measure,
    "validation": bench_validation.measure,
    "live": data_live.measure,
}


def main() -> int:
    """Measure the asked sections and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    asked = parser.parse_args().only
    return show([claim for name in asked for claim in SECTIONS[name]()])


if __name__ == "__main__":
    sys.exit(main())
