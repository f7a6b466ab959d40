"""What differs between two plain values, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ABSENT = "(absent)"
SHOWN, LISTED = 80, 5


def told(then: Any, now: Any) -> str:
    r"""Return each difference by its path, such as `training.seed was 7, is 8`; empty where there is none.

    >>> told({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    'a.c was 2, is 3'
    >>> told({"sql": "select 1"}, {"sql": "select 1\nfrom t"})
    'sql, line 2, was (absent), is "from t"'
    """
    before, after = _flat(then, ""), _flat(now, "")
    paths = [path for path in sorted({*before, *after}) if before.get(path, ABSENT) != after.get(path, ABSENT)]
    listed = [_difference(path, before.get(path, ABSENT), after.get(path, ABSENT)) for path in paths[:LISTED]]
    return "; ".join([*listed, *([f"and {len(paths) - LISTED} more"] if len(paths) > LISTED else [])])


def _flat(value: Any, path: str) -> dict[str, str]:
    """Return each leaf as JSON by its path; JSON, so that NaN equals NaN."""
    if isinstance(value, Mapping) and value:
        found: dict[str, str] = {}
        for key, each in value.items():
            found |= _flat(each, f"{path}.{key}" if path else str(key))
        return found
    return {path: json.dumps(value, sort_keys=True)}


def _difference(path: str, then: str, now: str) -> str:
    if then.startswith('"') and now.startswith('"') and "\\n" in then + now:
        lines = [json.loads(text).split("\n") for text in (then, now)]
        number = next((at for at, pair in enumerate(zip(*lines, strict=False)) if pair[0] != pair[1]), None)
        if number is None:
            number = min(map(len, lines))
        then, now = (json.dumps(text[number]) if number < len(text) else ABSENT for text in lines)
        path = f"{path}, line {number + 1},"
    return f"{path} was {_short(then)}, is {_short(now)}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
