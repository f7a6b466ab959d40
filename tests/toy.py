"""A small shop as a use case: real files, real lake, seconds instead of minutes."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from perennial.adapters import Adapters
from perennial.catalog import read_folder
from perennial.settings import Settings
from perennial.spec import UseCase

FIRST = date(2026, 1, 1)
FEATURES_SQL = """
select d.day, o.customer,
    min(d.day - o.day) as days_since_order,
    count(*) filter (o.day > d.day - 7) as orders_7d,
    sum(o.amount) as spend_10d,
    coalesce(any_value(c.segment), 'unknown') as segment
from days d
join orders o on o.day <= d.day and o.day > d.day - 10
left join customers c using (customer)
group by d.day, o.customer
"""
LABEL_SQL = """
select d.day, o.customer, 1 as orders_again
from days d join orders o on o.day > d.day and o.day <= d.day + 3
group by d.day, o.customer
"""
SUITE: dict[str, list[dict[str, Any]]] = {
    "orders": [
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "customer"},
            "meta": {"reason": "customer is missing"},
        },
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "amount", "min_value": 0, "max_value": 1000},
            "meta": {"reason": "amount is not within 0 and 1,000"},
        },
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "amount"},
            "meta": {"reason": "amount is missing"},
        },
        {
            "type": "expect_column_values_to_be_unique",
            "kwargs": {"column": "order_id"},
            "meta": {"reason": "order_id is not unique"},
        },
        {
            "type": "expect_table_row_count_to_be_between",
            "kwargs": {"max_value": 500},
            "severity": "critical",
            "meta": {"reason": "more than 500 orders a day"},
        },
    ],
    "customers": [],
}
SPEC: dict[str, Any] = {
    "name": "shop",
    "title": "Who orders again within three days?",
    "entity": "customer",
    "sources": [
        {
            "name": "orders",
            "files": {"orders": "orders.parquet"},
            "time_column": "ordered_at",
            "keys": ["order_id"],
            "columns": {"order_id": "integer", "customer": "integer", "amount": "number", "ordered_at": "timestamp"},
        },
        {
            "name": "customers",
            "files": {"customers": "customers.parquet"},
            "keys": ["customer"],
            "columns": {"customer": "integer", "segment": "string"},
        },
    ],
    "features": {
        "sql": "features.sql",
        "lookback_days": 10,
        "numeric": ["days_since_order", "orders_7d", "spend_10d"],
        "categorical": ["segment"],
    },
    "label": {"sql": "label.sql", "column": "orders_again", "horizon_days": 3},
    "training": {
        "cron": "0 4 * * 1",
        "window_days": 30,
        "validation_days": 5,
        "holdout_days": 5,
        "min_rows": 50,
        "candidates": [{"name": "logistic_regression", "estimator": "sklearn.linear_model.LogisticRegression"}],
        "baselines": [{"name": "dummy", "estimator": "sklearn.dummy.DummyClassifier"}],
        "search": {"trials": 2, "seconds": 5},
    },
    "gates": [{"metric": "roc_auc", "at_least": 0.5}],
    "value": {"currency": "EUR", "conversion": 10.0, "contact": 1.0},
    "monitoring": {"min_rows": 20, "performance": {"metric": "roc_auc", "at_least": 0.5}},
    "alerts": {"to": ["operations@example.org"]},
}


def spec(**changes: Any) -> dict[str, Any]:
    """Return a valid spec; `training__cron="…"` changes one key of a part, `gates=[…]` a whole part."""
    declared = deepcopy(SPEC)
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = declared
        for parent in parents:
            node = node[parent]
        node[last] = value
    return declared


def order_rows(days: int = 60, *, customers: int = 60, seed: int = 7) -> pa.Table:
    """Return orders of `days` days from FIRST on; some customers order far more often than others."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.6, 0.4, customers)
    times, who = [], []
    for offset in range(days):
        for customer in np.flatnonzero(rng.random(customers) < rate):
            midnight = datetime.combine(FIRST + timedelta(days=offset), datetime.min.time(), UTC)
            times.append(midnight + timedelta(minutes=int(rng.integers(0, 1440))))
            who.append(int(customer))
    return pa.table(
        {
            "order_id": pa.array(range(len(who)), pa.int64()),
            "customer": pa.array(who, pa.int64()),
            "amount": pa.array(np.round(rng.uniform(1, 100, len(who)), 2)),
            "ordered_at": pa.array(times, pa.timestamp("us", "UTC")),
        }
    )


def customer_rows(customers: int = 60) -> pa.Table:
    """Return the customers' segments."""
    return pa.table({"customer": list(range(customers)), "segment": ["ab"[each % 2] for each in range(customers)]})


def write_shop(
    root: Path, *, declared: dict[str, Any] | None = None, orders: pa.Table | None = None, **texts: str
) -> Path:
    """Write a use-case folder with its source files below `root`; `features_sql="…"` replaces a file's text."""
    declared = declared or spec()
    folder = root / declared["name"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "use_case.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    (folder / "features.sql").write_text(texts.get("features_sql", FEATURES_SQL))
    (folder / "label.sql").write_text(texts.get("label_sql", LABEL_SQL))
    (folder / "suite.json").write_text(texts.get("suite_json", json.dumps(SUITE)))
    pq.write_table(order_rows() if orders is None else orders, folder / "orders.parquet")
    pq.write_table(customer_rows(), folder / "customers.parquet")
    return folder


def shop(root: Path, **arguments: Any) -> UseCase:
    """Return the loaded use case of `write_shop`."""
    return read_folder(write_shop(root, **arguments))


def adapters(home: Path) -> Adapters:
    """Return adapters whose whole state lies below `home`: SQLite for the ledger and the registry."""
    home.mkdir(parents=True, exist_ok=True)
    return Adapters(Settings(home=home, ledger_url=None, mlflow_uri=None))
