"""Row and table checks in the words of Great Expectations; the sole importer of great_expectations.

What can be said in SQL runs as one aggregate in DuckDB (`io.aggregates`), and Great Expectations is not even imported;
its own engine, on pandas, runs the rest. Both report the same results, and pages are always Great Expectations' own.

A row that breaks a row-level expectation of severity critical or warning is refused; of severity info it is only
counted. A table-level expectation of severity critical that fails stops the day; others are warnings.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.errors import DataError, SpecError
from perennial.io.aggregates import Aggregates, Found
from perennial.io.checks import Check, Expectation, compiled, families
from perennial.io.datadocs import offline
from perennial.io.rowconditions import NotCoveredError
from perennial.io.validations import place_of

MARK = "position in the suite"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one expectation says; `engine` is Great Expectations' own result where its engine ran."""

    item: Expectation
    success: bool
    result: Mapping[str, Any]
    engine: Any = None

    @property
    def severity(self) -> str:
        """Return critical, warning or info."""
        return str(self.item.get("severity") or "critical")

    def described(self) -> str:
        """Return the reason that the suite gives, or the expectation and its arguments."""
        given = (self.item.get("meta") or {}).get("reason")
        if given:
            return str(given)
        kwargs = {key: value for key, value in self.item["kwargs"].items() if value is not None}
        return f"{self.item['type']}({', '.join(f'{key}={value}' for key, value in kwargs.items())})"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a suite says, in its own order."""

    suite: str
    each: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """One day's checks: reasons by row position, what stops the day, what is only worth knowing."""

    refused: Mapping[int, tuple[str, ...]]
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    outcome: Outcomes


@dataclass(frozen=True)
class Expectations:
    """Runs suites and keeps their results as pages below `pages`/validation."""

    pages: Path
    _aggregates: Aggregates = field(default_factory=Aggregates)

    def check(self, rows: pa.Table, suite: Sequence[Expectation], *, name: str) -> Validation:
        """Hold a day's rows against a suite; nothing is written.

        Args:
            rows: the day's rows; positions in the result count from 0 in this order.
            suite: expectations as JSON: type, kwargs, severity (default critical).
            name: of the suite, for the page.

        Raises:
            SpecError: an expectation is unknown or malformed.
            DataError: an expectation could not be evaluated on these rows.
        """
        if not rows.num_rows:  # without rows only the table itself can be judged
            suite = [item for item in suite if str(item.get("type")).startswith("expect_table_")]
        checks, rest = self._divided(suite, rows.schema)
        found: dict[int, Outcome] = {}
        if checks:
            for position, each in zip(checks, self._aggregates.over_table(rows, list(checks.values())), strict=True):
                found[position] = _outcome(suite[position], each)
        if rest:
            found |= _engine(rows, {position: suite[position] for position in rest}, name=name)
        return _validation(name, [found[position] for position in range(len(suite))])

    def check_files(self, paths: Sequence[Path], suite: Sequence[Expectation], *, name: str) -> Validation:
        """Hold the rows of staged Parquet files of one schema against a suite; they may be larger than the memory.

        Memory grows with the refused rows only. An expectation that needs Great Expectations' engine has the columns
        that it names loaded whole for it, all columns where it has a row condition.

        Args:
            paths: at least one file; positions in the result count on from file to file.
            suite: expectations as JSON: type, kwargs, severity (default critical).
            name: of the suite, for the page.

        Raises:
            SpecError: an expectation is unknown or malformed.
            DataError: an expectation could not be evaluated on these rows.
        """
        if not any(pq.read_metadata(path).num_rows for path in paths):
            return self.check(pq.read_table(paths[0]), suite, name=name)
        checks, rest = self._divided(suite, pq.read_schema(paths[0]))
        found: dict[int, Outcome] = {}
        if checks:
            for position, each in zip(checks, self._aggregates.over_files(paths, list(checks.values())), strict=True):
                found[position] = _outcome(suite[position], each)
        if rest:
            columns = _columns_of([suite[position] for position in rest], pq.read_schema(paths[0]))
            rows = pa.concat_tables([pq.read_table(path, columns=columns, partitioning=None) for path in paths])
            found |= _engine(rows, {position: suite[position] for position in rest}, name=name)
        return _validation(name, [found[position] for position in range(len(suite))])

    def keep(self, validation: Validation, *, case: str, source: str, day: date) -> str:
        """Write a validation's result and page; return the page's path below the pages folder."""
        place = self.pages / place_of(case, source, day)
        place.parent.mkdir(parents=True, exist_ok=True)
        result = _great_result(validation.outcome)
        place.with_suffix(".json").write_text(json.dumps(_stripped(result), default=str), "utf-8")
        place.with_suffix(".html").write_text(_page(result, title=f"Checks of {source}, {day}"), "utf-8")
        return f"{place_of(case, source, day)}.html"

    def _divided(self, suite: Sequence[Expectation], schema: pa.Schema) -> tuple[dict[int, Check], list[int]]:
        """Return the checks that run as SQL, by position in the suite, and the positions of the others."""
        holds, checks, rest = families(schema), dict[int, Check](), list[int]()
        for position, item in enumerate(suite):
            try:
                check = compiled(item, holds)
            except NotCoveredError:
                rest.append(position)
                continue
            pattern = item["kwargs"].get("regex")
            if pattern is None or self._aggregates.knows_regex(pattern):
                checks[position] = check
            else:
                rest.append(position)
        return checks, rest


def _outcome(item: Expectation, found: Found) -> Outcome:
    return Outcome(item, found.success, found.result)


def _columns_of(items: Sequence[Expectation], schema: pa.Schema) -> list[str] | None:
    """Return the columns that expectations name; None, all of them, where that cannot be told."""
    named: set[str] = set()
    for item in items:
        kwargs = item.get("kwargs") or {}
        if kwargs.get("row_condition") or str(item.get("type")).startswith("expect_table_"):
            return None
        listed = [kwargs.get(key) for key in ("column", "column_A", "column_B")] + list(kwargs.get("column_list") or [])
        named |= {name for name in listed if isinstance(name, str)}
    return [name for name in schema.names if name in named] or None


def _validation(name: str, outcomes: Sequence[Outcome]) -> Validation:
    refused: dict[int, tuple[str, ...]] = defaultdict(tuple)
    critical: list[str] = []
    warnings: list[str] = []
    for outcome in outcomes:
        reason, positions = outcome.described(), outcome.result.get("unexpected_index_list")
        if positions and outcome.severity != "info":
            for position in positions:
                refused[int(position)] += (reason,)
        elif positions:
            warnings.append(f"{reason}: {len(positions)} rows")
        elif not outcome.success and positions is None:
            observed = f"{reason}: observed {outcome.result.get('observed_value')}"
            (critical if outcome.severity == "critical" else warnings).append(observed)
    in_order = dict(sorted(refused.items()))
    return Validation(in_order, tuple(critical), tuple(warnings), Outcomes(name, tuple(outcomes)))


def _engine(rows: pa.Table, items: Mapping[int, Expectation], *, name: str) -> dict[int, Outcome]:
    """Run expectations by Great Expectations' own engine; return their outcomes by position in the suite."""
    same: dict[str, list[int]] = defaultdict(list)  # its suite keeps one of expectations that differ in severity only
    for position, item in items.items():
        same[json.dumps([item.get("type"), item.get("kwargs")], default=str)].append(position)
    # The engine orders results by column; a mark in the meta tells them apart again.
    first = {positions[0]: positions for positions in same.values()}
    marked = [dict(items[at]) | {"meta": dict(items[at].get("meta") or {}) | {MARK: at}} for at in first]
    found = {}
    for each in _run(rows, marked, name=name).results:
        position = each.expectation_config.meta.pop(MARK)
        found[position] = Outcome(items[position], bool(each.success), each.result, engine=each)
        _raise_where_it_crashed(found[position], name=name)
        for other in first[position][1:]:
            found[other] = Outcome(items[other], bool(each.success), each.result)
    return found


def _run(rows: pa.Table, suite: Sequence[Expectation], *, name: str) -> Any:
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    # Without a docs site of its own, which would be a temporary folder left behind by every check.
    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=stores))
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("lake").add_dataframe_asset("day").add_batch_definition_whole_dataframe("rows")
    )
    expectations = gx.ExpectationSuite(name=name)
    for item in suite:
        try:
            expectations.add_expectation(ExpectationConfiguration(**item).to_domain_obj())
        except (GreatExpectationsError, ValueError, TypeError) as error:
            raise SpecError(
                f"suite.json: the suite {name!r} has an expectation that cannot be used, {item.get('type')!r}: {error}"
            ) from error
    context.suites.add(expectations)
    check = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=expectations))
    return check.run(batch_parameters={"dataframe": _frame(rows)}, result_format={"result_format": "COMPLETE"})


def _frame(rows: pa.Table) -> Any:
    # Dates stay datetime.date objects; integers with nulls become floats, which no comparison minds.
    return rows.to_pandas(date_as_object=True).reset_index(drop=True)


def _raise_where_it_crashed(outcome: Outcome, *, name: str) -> None:
    crash = outcome.engine.exception_info or {}
    nested = [info for info in crash.values() if isinstance(info, dict)] or [crash]
    for info in nested:
        if info.get("raised_exception"):
            raise DataError(
                f"suite.json: {outcome.described()} of suite {name!r} could not be evaluated: "
                f"{info.get('exception_message')} Correct its arguments, or the source's columns."
            )


def _great_result(outcomes: Outcomes) -> Any:
    """Return the outcomes as Great Expectations' own result, whichever engine they come from."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
    from great_expectations.core.run_identifier import RunIdentifier

    results = [outcome.engine or _great_outcome(outcome) for outcome in outcomes.each]
    good, total = sum(bool(result.success) for result in results), len(results)
    statistics = {
        "evaluated_expectations": total,
        "successful_expectations": good,
        "unsuccessful_expectations": total - good,
        "success_percent": good / total * 100 if total else None,
    }
    run = RunIdentifier()
    batch = {
        "datasource_name": "lake", "data_connector_name": "fluent", "data_asset_name": "day",
        "batch_identifiers": {"dataframe": "<DATAFRAME>"},
    }  # fmt: skip
    meta = {
        "great_expectations_version": gx.__version__, "active_batch_definition": batch, "run_id": run,
        "batch_spec": {"batch_data": "PandasDataFrame"}, "validation_time": run.run_time, "checkpoint_id": None,
    }  # fmt: skip
    return ExpectationSuiteValidationResult(
        success=good == total, results=results, suite_name=outcomes.suite, statistics=statistics, meta=meta
    )


def _great_outcome(outcome: Outcome) -> Any:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    config = ExpectationConfiguration(
        type=str(outcome.item["type"]),
        kwargs={"batch_id": "lake-day", **outcome.item["kwargs"]},
        meta=dict(outcome.item.get("meta") or {}),
        severity=outcome.severity,
    )
    return ExpectationValidationResult(
        success=outcome.success, expectation_config=config, result=dict(outcome.result),
        exception_info={"raised_exception": False, "exception_traceback": None, "exception_message": None},
    )  # fmt: skip


def _stripped(result: Any) -> Mapping[str, Any]:
    """Return the result as JSON without its lists of rows: those are in the quarantine."""
    plain: dict[str, Any] = result.to_json_dict()
    for outcome in plain["results"]:
        for key in [key for key in outcome["result"] if key.startswith(("unexpected_index", "unexpected_list"))]:
            del outcome["result"][key]
    return plain


@cache
def _view() -> Any:
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()  # compiles its templates once in a process


def _page(result: Any, *, title: str) -> str:
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    return offline(_view().render(ValidationResultsPageRenderer().render(result)), title=title)
