"""How much of the long products the tests go through: a part of the cases, or all of them with GANTOOL_TESTS=all."""

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")
ALL = os.environ.get("GANTOOL_TESTS") == "all"
# How many cases of nonsense test_fuzz types. Where it is said, test_damage and test_stops go through every way too,
# whatever GANTOOL_TESTS says.
FUZZ = int(asked) if (asked := os.environ.get("GANTOOL_FUZZ", "0")).isdecimal() else 0  # conftest refuses other words
thorough = pytest.mark.thorough  # a heavy test: only with GANTOOL_TESTS=all


def some(cases: Iterable[T], count: int) -> list[T]:
    """All cases with GANTOOL_TESTS=all; otherwise the first, and others at even distances up to `count`."""
    cases = list(cases)
    if ALL or len(cases) <= count:
        return cases
    return [cases[index * len(cases) // count] for index in range(count)]


def covering(cases: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """All cases with GANTOOL_TESTS=all; otherwise those that are the first with one of their words in its place."""
    seen: set[tuple[int, str]] = set()
    kept = []
    for case in cases:
        if ALL or not seen.issuperset(enumerate(case)):
            kept.append(case)
            seen.update(enumerate(case))
    return kept
