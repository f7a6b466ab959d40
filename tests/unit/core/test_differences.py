"""Differences in words."""

from __future__ import annotations

from typing import Any

import pytest
from perennial.core import differences

CASES = [
    ({"a": 1}, {"a": 1}, ""),
    ({"a": float("nan")}, {"a": float("nan")}, ""),
    ({"a": {"b": [1, 2]}}, {"a": {"b": [2, 1]}}, "a.b was [1, 2], is [2, 1]"),
    ({"a": 1}, {"b": 1}, "a was 1, is (absent); b was (absent), is 1"),
    ({"q": "select 1\nfrom a"}, {"q": "select 1\nfrom b"}, 'q, line 2, was "from a", is "from b"'),
    ({"q": "x\n"}, {"q": "x"}, 'q, line 2, was "", is (absent)'),
    ({str(at): 0 for at in range(7)}, {str(at): 1 for at in range(7)}, "and 2 more"),
    ({"a": "x" * 200}, {"a": None}, f'a was "{"x" * 79}…, is null'),
]


@pytest.mark.parametrize(("then", "now", "said"), CASES)
def test_each_difference_has_its_path(then: Any, now: Any, said: str):
    """What is the same is left out; long values and long lists are cut."""
    told = differences.told(then, now)

    assert told.endswith(said)
    assert bool(told) is bool(said)
