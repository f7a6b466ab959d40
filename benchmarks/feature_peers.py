"""A year of daily snapshots by hand: in SQL, polars and pandas a day at a time, and by change points.

Each contestant is given the Parquet files of the events, a folder and the days; it reads the events into memory and
returns what builds the days: compute the aggregates, and write them to a Parquet file of the day, as the lake holds
them: whole numbers of 32 bits, ordered by visitor (the change points of DuckDB are spared the order).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl

AGGREGATES = """
    $day - max(day) as days_since_event,
    $day - min(day) as days_since_first_event,
    $day - max(day) filter (event = 'addtocart') as days_since_cart,
    count(*) filter (event = 'view' and day = $day) as views_1d,
    count(*) filter (event = 'view' and day > $day - 7) as views_7d,
    count(*) filter (event = 'view') as views_30d,
    count(distinct visit_id) filter (day > $day - 7) as visits_7d,
    count(distinct visit_id) as visits_30d,
    count(distinct item_id) as items_30d,
    count(*) filter (event = 'addtocart' and day > $day - 7) as carts_7d,
    count(*) filter (event = 'addtocart') as carts_30d,
    count(*) filter (event = 'transaction') as transactions_30d
"""
NAMES = [line.rsplit(" as ", 1)[1].strip(",") for line in AGGREGATES.strip().splitlines()]
WHOLE = ", ".join(f"{name}::int as {name}" for name in NAMES)
ONE_DAY = f"""
select visitor_id, {WHOLE}
from (select visitor_id, {AGGREGATES} from events where day between $day - 29 and $day group by visitor_id)
order by visitor_id
"""
CHANGE_POINTS = """
create temp table daily as
select visitor_id, day, count(*) filter (event = 'view') as views, count(*) filter (event = 'addtocart') as carts,
    count(*) filter (event = 'transaction') as transactions, count(*) as n
from events group by all;

create temp table visits as
select visitor_id, day, lag(day) over w as before, lead(day) over w as after
from (select distinct visitor_id, visit_id, day from events)
window w as (partition by visitor_id, visit_id order by day);

create temp table items as
select visitor_id, day, lag(day) over w as before, lead(day) over w as after
from (select distinct visitor_id, item_id, day from events)
window w as (partition by visitor_id, item_id order by day);

create temp table changes as
with each(visitor_id, since, v1, v7, v30, s7, s30, i30, c7, c30, t30, n, newest, oldest, cart) as (
    select visitor_id, day, views, views, views, 0, 0, 0, carts, carts, transactions, n, day, null,
        case when carts > 0 then day end
    from daily
    union all select visitor_id, day + 1, -views, 0, 0, 0, 0, 0, 0, 0, 0, 0, null, null, null from daily where views > 0
    union all select visitor_id, day + 7, 0, -views, 0, 0, 0, 0, -carts, 0, 0, 0, null, null, null from daily
    union all select visitor_id, day + 30, 0, 0, -views, 0, 0, 0, 0, -carts, -transactions, -n, null, null, null
    from daily
    union all select visitor_id, day, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, null, null, null from visits
    where before is null or day - before >= 7
    union all select visitor_id, day + 7, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, null, null, null from visits
    where after is null or after - day >= 7
    union all select visitor_id, day, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, null, null, null from visits
    where before is null or day - before >= 30
    union all select visitor_id, day + 30, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, null, null, null from visits
    where after is null or after - day >= 30
    union all select visitor_id, day, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, null, null, null from items
    where before is null or day - before >= 30
    union all select visitor_id, day + 30, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, null, null, null from items
    where after is null or after - day >= 30
    union all select visitor_id, greatest(day, 30 + lag(day) over (partition by visitor_id order by day)),
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, null, day, null from daily
)
select visitor_id, since, sum(v1) as v1, sum(v7) as v7, sum(v30) as v30, sum(s7) as s7, sum(s30) as s30,
    sum(i30) as i30, sum(c7) as c7, sum(c30) as c30, sum(t30) as t30, sum(n) as n, max(newest) as newest,
    max(oldest) as oldest, max(cart) as cart
from each group by all;

create temp table states as
select visitor_id, since, coalesce(lead(since) over w, since) as until, sum(v1) over w as v1, sum(v7) over w as v7,
    sum(v30) over w as v30, sum(s7) over w as s7, sum(s30) over w as s30, sum(i30) over w as i30, sum(c7) over w as c7,
    sum(c30) over w as c30, sum(t30) over w as t30, sum(n) over w as n, max(newest) over w as newest,
    max(oldest) over w as oldest, max(cart) over w as cart
from changes window w as (partition by visitor_id order by since);
"""
EXPANDED = f"""
copy (
    select visitor_id, day, {WHOLE}
    from (
        select visitor_id, shown as day, shown - newest as days_since_event, shown - oldest as days_since_first_event,
            case when shown - cart < 30 then shown - cart end as days_since_cart, v1 as views_1d, v7 as views_7d,
            v30 as views_30d, s7 as visits_7d, s30 as visits_30d, i30 as items_30d, c7 as carts_7d, c30 as carts_30d,
            t30 as transactions_30d
        from (select *, unnest(range(greatest(since, $first), least(until, $end))) as shown from states where n > 0)
    )
) to '$out' (format parquet, partition_by (day), compression snappy)
"""


def place(out: Path, day: int) -> Path:
    """Return the file of a day, in a folder of its own."""
    folder = out / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "part.parquet"


def loaded(files: str) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection that holds the events in the order of their days, with days as numbers."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads = 2; set memory_limit = '16GB'; set preserve_insertion_order = false")
    connection.execute(f"set temp_directory = '{gettempdir()}/duckdb-spill'")
    connection.execute(
        f"create table events as select (day - date '1970-01-01')::int as day, visitor_id, visit_id, item_id, event "
        f"from read_parquet('{files}', hive_partitioning = true, hive_types = {{'day': date}}) order by day"
    )
    return connection


def one_day_at_a_time(files: str, out: Path, days: Sequence[int]) -> Callable[[], None]:
    """Aggregate each day's window by SQL."""
    connection = loaded(files)

    def run() -> None:
        for day in days:
            query = ONE_DAY.replace("$day", str(day))
            connection.execute(f"copy ({query}) to '{place(out, day)}' (format parquet, compression snappy)")

    return run


def change_points(files: str, out: Path, days: Sequence[int]) -> Callable[[], None]:
    """Work out when each visitor's aggregates change, add up, and expand the states to days, by SQL."""
    connection = loaded(files)

    def run() -> None:
        connection.execute(CHANGE_POINTS)
        bounds = {"$first": str(days[0]), "$end": str(days[-1] + 1), "$out": str(out)}
        connection.execute(reduce(lambda sql, bound: sql.replace(*bound), bounds.items(), EXPANDED))

    return run


def events_of(files: str) -> pl.DataFrame:
    """Return the events in the order of their days, with days as numbers."""
    import polars as pl

    columns = ["day", "visitor_id", "visit_id", "item_id", "event"]
    read = pl.read_parquet(files, hive_partitioning=True, hive_schema={"day": pl.Date}, columns=columns)
    return read.with_columns(pl.col("day").to_physical()).sort("day")


def polars_loop(files: str, out: Path, days: Sequence[int]) -> Callable[[], None]:
    """Aggregate each day's window by polars."""
    import polars as pl

    events = events_of(files)
    at, kind = pl.col("day"), pl.col("event")

    def aggregates(day: int) -> list[pl.Expr]:
        week = at > day - 7
        view, cart = kind == "view", kind == "addtocart"
        found = [
            day - at.max(), day - at.min(), day - at.filter(cart).max(),
            (view & (at == day)).sum(), (view & week).sum(), view.sum(),
            pl.col("visit_id").filter(week).n_unique(), pl.col("visit_id").n_unique(), pl.col("item_id").n_unique(),
            (cart & week).sum(), cart.sum(), (kind == "transaction").sum(),
        ]  # fmt: skip
        return [each.alias(name) for each, name in zip(found, NAMES, strict=True)]

    def run() -> None:
        for day in days:
            start, end = events["day"].search_sorted(pl.Series([day - 29, day + 1], dtype=pl.Int32))
            window = events.slice(start, end - start)
            found = window.group_by("visitor_id").agg(aggregates(day)).sort("visitor_id")
            found.with_columns(pl.col(NAMES).cast(pl.Int32)).write_parquet(place(out, day), compression="snappy")

    return run


def pandas_loop(files: str, out: Path, days: Sequence[int]) -> Callable[[], None]:
    """Aggregate each day's window by pandas."""
    import numpy as np
    import pandas as pd

    events = events_of(files).to_pandas()
    kinds = {name: (events["event"] == name).to_numpy() for name in ("view", "addtocart", "transaction")}
    at = events["day"].to_numpy()

    def different(window: pd.DataFrame, column: str) -> pd.Series:
        return window[["visitor_id", column]].drop_duplicates().groupby("visitor_id").size()

    def snapshot(day: int) -> pd.DataFrame:
        part = slice(*np.searchsorted(at, [day - 29, day + 1]))
        window, week = events.iloc[part], at[part] > day - 7
        view, cart, bought = (kinds[name][part] for name in ("view", "addtocart", "transaction"))
        flags = pd.DataFrame({
            "visitor_id": window["visitor_id"], "views_1d": view & (at[part] == day), "views_7d": view & week,
            "views_30d": view, "carts_7d": cart & week, "carts_30d": cart, "transactions_30d": bought,
        })  # fmt: skip
        counts = flags.groupby("visitor_id").sum()
        ages = window.groupby("visitor_id")["day"].agg(["max", "min"])
        counts["days_since_event"], counts["days_since_first_event"] = day - ages["max"], day - ages["min"]
        counts["days_since_cart"] = day - window[cart].groupby("visitor_id")["day"].max()
        counts["visits_7d"] = different(window[week], "visit_id")
        counts["visits_30d"] = different(window, "visit_id")
        counts["items_30d"] = different(window, "item_id")
        return counts.fillna({"visits_7d": 0})

    def run() -> None:
        for day in days:
            found = snapshot(day)
            whole = found.astype(dict.fromkeys(found.columns.drop("days_since_cart"), "int32"))
            whole.reset_index().to_parquet(place(out, day), compression="snappy")

    return run


def polars_change_points(files: str, out: Path, days: Sequence[int]) -> Callable[[], None]:
    """The same as `change_points` by polars; what comes to a visitor also leaves, so one running sum serves all."""
    import polars as pl

    events = events_of(files)
    at = pl.col("day")
    sums = ["views_1d", "views_7d", "views_30d", "visits_7d", "visits_30d", "items_30d", "carts_7d", "carts_30d",
            "transactions_30d", "n"]  # fmt: skip

    def covered(column: str, length: int, name: str) -> list[pl.DataFrame]:
        pairs = events.select("visitor_id", column, "day").unique().sort("visitor_id", column, "day")
        new = (pl.struct("visitor_id", column) != pl.struct("visitor_id", column).shift()).fill_null(value=True)
        enters = new | (at - at.shift() >= length)
        pairs = pairs.with_columns(enters.alias("enters"))
        leaves = pl.col("enters").shift(-1).fill_null(value=True)
        one = pl.lit(1, pl.Int32)
        return [
            pairs.filter("enters").select("visitor_id", at.alias("since"), one.alias(name)),
            pairs.filter(leaves).select("visitor_id", (at + length).alias("since"), (-one).alias(name)),
        ]

    def changes() -> pl.DataFrame:
        kind = pl.col("event")
        daily = events.group_by("visitor_id", "day").agg(
            (kind == "view").sum().cast(pl.Int32).alias("views"),
            (kind == "addtocart").sum().cast(pl.Int32).alias("carts"),
            (kind == "transaction").sum().cast(pl.Int32).alias("bought"),
            pl.len().cast(pl.Int32).alias("n"),
        ).sort("visitor_id", "day")  # fmt: skip
        views, carts, bought = pl.col("views"), pl.col("carts"), pl.col("bought")
        before = at.shift().over("visitor_id")
        parts = [
            daily.select("visitor_id", at.alias("since"), views.alias("views_1d"), views.alias("views_7d"),
                         views.alias("views_30d"), carts.alias("carts_7d"), carts.alias("carts_30d"),
                         bought.alias("transactions_30d"), "n", at.alias("newest"),
                         pl.when(carts > 0).then(at).alias("cart")),
            daily.filter(views > 0).select("visitor_id", (at + 1).alias("since"), (-views).alias("views_1d")),
            daily.select("visitor_id", (at + 7).alias("since"), (-views).alias("views_7d"),
                         (-carts).alias("carts_7d")),
            daily.select("visitor_id", (at + 30).alias("since"), (-views).alias("views_30d"),
                         (-carts).alias("carts_30d"), (-bought).alias("transactions_30d"), -pl.col("n")),
            daily.select("visitor_id", pl.max_horizontal(at, before + 30).alias("since"), at.alias("oldest")),
            *covered("visit_id", 7, "visits_7d"), *covered("visit_id", 30, "visits_30d"),
            *covered("item_id", 30, "items_30d"),
        ]  # fmt: skip
        return pl.concat(parts, how="diagonal")

    def run() -> None:
        remembered = ["newest", "oldest", "cart"]
        each = changes().group_by("visitor_id", "since").agg(pl.col(sums).sum(), pl.col(remembered).max())
        each = each.sort("visitor_id", "since")
        running = [pl.col(name).cum_sum() for name in sums]
        last = [pl.col(name).cum_max().forward_fill().over("visitor_id") for name in remembered]
        states = each.with_columns(*running, *last, pl.col("since").shift(-1).over("visitor_id").alias("until"))
        first, end = pl.max_horizontal("since", pl.lit(days[0])), pl.min_horizontal("until", pl.lit(days[-1] + 1))
        states = states.filter((pl.col("n") > 0) & (first < end))
        shown = states.with_columns(pl.int_ranges(first, end, dtype=pl.Int32).alias("day")).explode("day")
        for (day,), part in shown.partition_by("day", as_dict=True).items():
            ages = {"days_since_event": "newest", "days_since_first_event": "oldest", "days_since_cart": "cart"}
            columns = [(at - pl.col(remembered)).alias(name) for name, remembered in ages.items()]
            cart = pl.when(pl.col("days_since_cart") < 30).then("days_since_cart").alias("days_since_cart")
            found = part.with_columns(columns).with_columns(cart).select("visitor_id", pl.col(NAMES).cast(pl.Int32))
            found.write_parquet(place(out, int(str(day))), compression="snappy")

    return run


Prepared = Callable[[str, Path, Sequence[int]], Callable[[], None]]
GENERAL_WAYS: dict[str, Prepared] = {
    "DuckDB, one day at a time": one_day_at_a_time,
    "polars, one day at a time": polars_loop,
    "pandas, one day at a time": pandas_loop,
}
BY_HAND: dict[str, Prepared] = {
    "DuckDB, change points": change_points,
    "polars, change points": polars_change_points,
}
