"""Row and table checks by Great Expectations; the sole importer of great_expectations.

A row that breaks a row-level expectation of severity critical or warning is refused; of severity info it is only
counted. A table-level expectation of severity critical that fails stops the day; others are warnings.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from perennial.errors import DataError, SpecError

Expectation = Mapping[str, Any]
# Data Docs link style sheets and scripts of public hosts; the page must be readable without a network.
EXTERNAL = re.compile(
    r"<link[^>]*https?://[^>]*>|<script[^>]*https?://[^>]*>\s*</script>|<img[^>]*https?://[^>]*>|<footer.*?</footer>",
    re.DOTALL,
)
STYLE = """<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}
table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #8886;padding:.3rem .6rem;text-align:left}
ul{list-style:none;padding:0}.d-none,nav,.modal,button,input{display:none}</style>"""


@dataclass(frozen=True, slots=True)
class Validation:
    """One day's checks: reasons by row position, what stops the day, what is only worth knowing."""

    refused: Mapping[int, tuple[str, ...]]
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    outcome: Any


class Expectations:
    """Runs suites and keeps their results as pages below `pages`/validation."""

    def __init__(self, pages: Path) -> None:
        self.pages = pages

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
        result = _run(rows, suite, name=name)
        refused: dict[int, list[str]] = defaultdict(list)
        critical: list[str] = []
        warnings: list[str] = []
        for outcome in result.results:
            _raise_where_it_crashed(outcome, name=name)
            severity = str(outcome.expectation_config.severity.value)
            positions = outcome.result.get("unexpected_index_list")
            if positions and severity != "info":
                for position in positions:
                    refused[int(position)].append(_described(outcome))
            elif positions:
                warnings.append(f"{_described(outcome)}: {len(positions)} rows")
            elif not outcome.success and positions is None:
                (critical if severity == "critical" else warnings).append(_observed(outcome))
        reasons = {position: tuple(found) for position, found in sorted(refused.items())}
        return Validation(reasons, tuple(critical), tuple(warnings), result)

    def keep(self, validation: Validation, *, case: str, source: str, day: date) -> str:
        """Write a validation's result and page; return the page's path below the pages folder."""
        folder = self.pages / "validation" / case / source
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{day}.json").write_text(json.dumps(_stripped(validation.outcome), default=str), "utf-8")
        (folder / f"{day}.html").write_text(_page(validation.outcome), "utf-8")
        return f"validation/{case}/{source}/{day}.html"


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


def _raise_where_it_crashed(outcome: Any, *, name: str) -> None:
    crash = outcome.exception_info or {}
    nested = [info for info in crash.values() if isinstance(info, dict)] or [crash]
    for info in nested:
        if info.get("raised_exception"):
            raise DataError(
                f"suite.json: {_described(outcome)} of suite {name!r} could not be evaluated: "
                f"{info.get('exception_message')} Correct its arguments, or the source's columns."
            )


def _described(outcome: Any) -> str:
    config = outcome.expectation_config
    given = config.meta.get("reason") if config.meta else None
    if given:
        return str(given)
    kwargs = {key: value for key, value in config.kwargs.items() if key != "batch_id" and value is not None}
    return f"{config.type}({', '.join(f'{key}={value}' for key, value in kwargs.items())})"


def _observed(outcome: Any) -> str:
    return f"{_described(outcome)}: observed {outcome.result.get('observed_value')}"


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


def _page(result: Any) -> str:
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    page: str = _view().render(ValidationResultsPageRenderer().render(result))
    return EXTERNAL.sub("", page).replace("</head>", f"{STYLE}</head>")
