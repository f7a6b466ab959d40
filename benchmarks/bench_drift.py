"""Is the drift check faster than Evidently's, and does it decide the same?

`make bench-drift`, or `.venv/bin/python -m benchmarks.bench_drift --rows 100000 --times 1`. Both judge a million rows
of twenty columns against a reference of a million: ours has the stored profile, which is read as JSON, Evidently the
rows of both sides. Each runs in a process of its own, one after the other, and loading rows and libraries is not
timed. Evidently is timed twice: with the report its guides show (`DataDriftPreset`), which the claim is about, and
with nothing but a `ValueDrift` a column. Then both judge every pair of `benchmarks.drift_corpus` by the same measures,
normed Wasserstein and Jensen-Shannon, on the same limit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.core import drift
from perennial.core.drift import Limits, Profile
from perennial.io import counts

from benchmarks.claims import Claim, peak, show
from benchmarks.drift_corpus import LIMIT, Kind, Pair, pairs

FASTER = {"preset": 40, "evidently": 10}  # its report, and the least with which it can be made to judge
NUMBERS, TEXTS = 15, 5
KINDS: dict[str, Kind] = {f"number_{place}": "numeric" for place in range(NUMBERS)}
KINDS |= {f"text_{place}": "categorical" for place in range(TEXTS)}
SIDES = ("ours", "evidently", "preset")


def table(rows: int, *, seed: int, moved: float) -> pa.Table:
    """Return columns of several shapes, heavy tails and missing values among them; every third number is moved."""
    generator = np.random.default_rng(seed)
    shapes = (
        lambda: generator.normal(0, 1, rows),
        lambda: generator.lognormal(0, 2, rows),
        lambda: generator.pareto(1.5, rows),
        lambda: np.where(generator.random(rows) < 0.2, np.nan, generator.gamma(2, 3, rows)),
        lambda: generator.poisson(4, rows).astype(np.float64),
    )
    columns: dict[str, pa.Array] = {}
    for place in range(NUMBERS):
        values = shapes[place % len(shapes)]()
        columns[f"number_{place}"] = pa.array(values + (moved if place % 3 == 0 else 0.0), from_pandas=True)
    for place in range(TEXTS):
        words = np.array([f"value {at}" for at in range(3 * 2**place)], dtype=object)
        columns[f"text_{place}"] = pa.array(words[generator.integers(0, words.size, rows)])
    return pa.table(columns)


def side(who: str, folder: Path) -> None:
    """Judge the rows of a folder in this process, and print what it cost."""
    current = pq.read_table(folder / "current.parquet")
    if who == "ours":
        before, start, cores = peak(), time.perf_counter(), time.process_time()
        found = _ours(current, drift.from_json(json.loads((folder / "profile.json").read_text())))
    else:
        from benchmarks import drift_peer

        frames = [
            drift_peer.as_frame(pq.read_table(folder / f"{name}.parquet"), KINDS) for name in ("reference", "current")
        ]
        drift_peer.judged(*(frame.head(2000) for frame in frames), KINDS)  # what it imports late is not timed
        before, start, cores = peak(), time.perf_counter(), time.process_time()
        found = drift_peer.judged(*frames, KINDS) if who == "evidently" else drift_peer.preset(*frames, KINDS)
    cost = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cores, "peak": peak() - before}
    print(json.dumps(cost | {"found": found or {}}))


def _ours(current: pa.Table, profiles: dict[str, Profile]) -> dict[str, float | None]:
    """Return the distance of each column, judged as the monitor judges it."""
    found, limits = counts.counted(current, profiles), Limits(psi=0.25, min_rows=200, distance=LIMIT)
    judged = {name: drift.judge(name, each, found[name], limits=limits) for name, each in profiles.items()}
    if undecided := [name for name, each in judged.items() if each.far is None]:
        raise SystemExit(f"the counts do not decide {', '.join(undecided)}: these rows would have to be read.")
    return {name: each.distance for name, each in judged.items()}


def speed(rows: int, times: int, *, preset: bool = True) -> Iterator[Claim]:
    """Yield what both sides cost, and how much faster ours is; the preset, which takes minutes, once or not at all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = table(rows, seed=1, moved=0.0)
        pq.write_table(reference, folder / "reference.parquet")
        pq.write_table(table(rows, seed=2, moved=0.3), folder / "current.parquet")
        profiles = counts.profiles(reference, categorical=[each for each, kind in KINDS.items() if kind != "numeric"])
        (folder / "profile.json").write_text(json.dumps(drift.to_json(profiles)))
        size = (folder / "profile.json").stat().st_size / 1024
        del reference, profiles
        section = f"{rows:,} rows x {len(KINDS)}"
        yield Claim(section, "the stored profile", f"{size:,.0f} KB")
        for turn in range(times):
            costs = {who: _run(who, folder) for who in (SIDES if preset and turn == 0 else SIDES[:2])}
            for who, cost in costs.items():
                told = f"{cost['seconds']:.2f} s, {cost['cpu']:.2f} s of cores, {cost['peak']:,.0f} MB"
                yield Claim(section, f"{turn + 1}: {NAMES[who]}", told)
            for who in list(costs)[1:]:
                ratio = costs[who]["seconds"] / costs["ours"]["seconds"]
                figure = f"{turn + 1}: ours is faster than {NAMES[who]}"
                least = FASTER[who]
                yield Claim(section, figure, f"{ratio:.0f}x", f"at least {least}x", ratio >= least)
            other = sum(
                (costs["ours"]["found"][each] >= LIMIT) != (value >= LIMIT)
                for each, value in costs["evidently"]["found"].items()
            )
            yield Claim(section, f"{turn + 1}: columns decided otherwise", str(other), "0", other == 0)


NAMES = {"ours": "ours", "evidently": "Evidently, a ValueDrift a column", "preset": "Evidently, DataDriftPreset"}


def _run(who: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_drift", "--side", who, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides found of a pair; None where Evidently cannot do it."""

    pair: Pair
    ours: float
    fell_back: bool
    theirs: float | None

    @property
    def other(self) -> bool:
        """Tell whether the decisions differ."""
        return self.theirs is not None and (self.ours >= LIMIT) != (self.theirs >= LIMIT)


def agreement(pair: Pair) -> Agreement:
    """Return what the product and Evidently find of a pair."""
    from benchmarks.drift_peer import of_pair

    texts = ["x"] if pair.kind == "categorical" else []
    stored = drift.from_json(
        json.loads(json.dumps(drift.to_json(counts.profiles(pa.table({"x": pair.reference}), categorical=texts))))
    )
    judged = drift.judge(
        "x", stored["x"], counts.counted(pa.table({"x": pair.current}), stored)["x"],
        limits=Limits(psi=0.25, min_rows=1, distance=LIMIT),
        asked=lambda _: counts.measured(pair.reference, pair.current, kind=pair.kind),
    )  # fmt: skip
    if judged.distance is None or judged.far is None:
        raise SystemExit(f"a pair of {pair.family} was not decided: {judged}")
    try:
        theirs = of_pair(pair)
    except (ValueError, TypeError) as error:
        print(f"Evidently cannot do {pair.family}: {error}", file=sys.stderr)
        theirs = None
    return Agreement(pair, judged.distance, judged.exact, theirs)


def agreements() -> Iterator[Claim]:
    """Yield how often both decide otherwise on the corpus."""
    found = [agreement(pair) for pair in pairs()]
    for each in found:
        if each.other:
            print(f"decided otherwise: {each.pair.family}, ours {each.ours!r}, theirs {each.theirs!r}", file=sys.stderr)
    both = [each for each in found if each.theirs is not None]
    section = f"corpus, {len(found)} pairs"
    near = sum(abs(each.theirs / LIMIT - 1) < 0.01 for each in both if each.theirs is not None)
    drifted = sum(each.theirs >= LIMIT for each in both if each.theirs is not None)
    yield Claim(section, "Evidently could judge too", str(len(both)), "at least 500", len(both) >= 500)
    yield Claim(section, "drifted by Evidently", str(drifted))
    yield Claim(section, "within 1 % of the limit", str(near))
    for kind in ("numeric", "categorical"):
        fell = sum(each.fell_back for each in found if each.pair.kind == kind)
        yield Claim(
            section, f"{kind}: the rows had to be asked", f"{fell} of {sum(e.pair.kind == kind for e in found)}"
        )
    other = sum(each.other for each in both)
    yield Claim(section, "decided otherwise", str(other), "0", other == 0)


def main() -> int:
    """Print the table; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--part", choices=("speed", "corpus"))
    parser.add_argument("--without-preset", action="store_true")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        side(options.side, options.folder)
        return 0
    claims = (
        [] if options.part == "corpus" else [*speed(options.rows, options.times, preset=not options.without_preset)]
    )
    return show([*claims, *([] if options.part == "speed" else agreements())])


if __name__ == "__main__":
    sys.exit(main())
