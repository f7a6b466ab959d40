"""A warm parent, two workers forked from it, and tasks forked from those that really compute: Airflow's own tree.

Run by test_warm_workers.py; prints "<n> done, <n> failed, <n> hung, <n> cold".
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from perennial_airflow import warm

PATIENCE = 120.0
WORKERS = 2


def compute(number: int, folder: Path) -> None:
    """Do what tasks do: fit, query, write, and now and then validate and report."""
    import duckdb
    import lightgbm
    import numpy as np
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake
    from sklearn.ensemble import HistGradientBoostingClassifier

    random = np.random.default_rng(number)
    x = random.normal(size=(500, 8))
    y = (x[:, 0] + random.normal(size=500) > 0).astype(int)
    for model in (
        lightgbm.LGBMClassifier(n_estimators=4, n_jobs=2, verbose=-1),
        HistGradientBoostingClassifier(max_iter=4),
    ):
        assert model.fit(x, y).score(x, y) > 0.7
    assert np.linalg.svd(x, compute_uv=False).shape == (8,)
    rows = pa.table({"x": x[:, 0], "y": y})
    grouped = duckdb.connect().execute("select y, avg(x), count(*) from rows group by y").fetchall()
    assert sum(count for _, _, count in grouped) == 500
    write_deltalake(str(folder / f"t{number}"), rows)
    assert DeltaTable(str(folder / f"t{number}")).to_pyarrow_table().num_rows == 500
    if number % 4 == 0:
        validate(rows)
    if number % 8 == 0:
        report(rows)


def validate(rows) -> None:
    """Run one expectation."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("t").add_batch_definition_whole_dataframe("b")
    expectation = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}}
    suite = context.suites.add(gx.ExpectationSuite(name="s", expectations=[expectation]))
    check = context.validation_definitions.add(gx.ValidationDefinition(name="v", data=batch, suite=suite))
    assert check.run(batch_parameters={"dataframe": rows.to_pandas()}).success


def report(rows) -> None:
    """Draw one report."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    data = Dataset.from_pandas(rows.to_pandas(), data_definition=DataDefinition(numerical_columns=["x", "y"]))
    assert "<html" in Report([DataDriftPreset(method="psi")]).run(data, data).get_html_str(as_iframe=False)[:2000]


def forked(number: int, folder: Path) -> str:
    """Run one task in a fork of its own and say what became of it."""
    child = os.fork()
    if child == 0:
        try:
            compute(number, folder)
        except BaseException:  # noqa: BLE001  a fork must not go on into the parent's code
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return "done" if status == 0 else "failed"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def work(numbers: list[int], folder: Path, results) -> None:
    """Be a worker: one task after the other."""
    for number in numbers:
        results.put(forked(number, folder))


def main() -> None:
    """Warm up, fork the workers, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    cold = warm.preload()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    gc.freeze()
    shares = [list(range(first, options.tasks, WORKERS)) for first in range(WORKERS)]
    workers = [context.Process(target=work, args=(share, options.folder, results)) for share in shares]
    for worker in workers:
        worker.start()
    states = [results.get() for _ in range(options.tasks)]
    for worker in workers:
        worker.join()
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("done", "failed", "hung"))
    sys.stdout.write(f"{counts}, {len(cold)} cold\n")


if __name__ == "__main__":
    main()
