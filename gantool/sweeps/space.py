"""What a search looks among: from the words of the command line to Optuna's distributions."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from gantool.errors import GantoolError

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

ANOTHER = "choose another hydra.sweep.dir"


def space_of(overrides: Sequence[Override]) -> "dict[str, BaseDistribution]":
    """What is searched: an interval (tag(log, ...) for a logarithmic one, int(...) for whole numbers), a range, or
    values to choose from, by key."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space: dict[str, BaseDistribution] = {}
    for one in overrides:
        key, value = one.get_key_element().lstrip("+"), one.value()
        try:
            if isinstance(value, IntervalSweep):
                low, high, log = value.start, value.end, "log" in value.tags
                if isinstance(low, int) and isinstance(high, int):
                    space[key] = IntDistribution(low, high, log=log)
                elif low is not None and high is not None:
                    space[key] = FloatDistribution(float(low), float(high), log=log)
                continue
            words = list(one.sweep_string_iterator())
            whole = isinstance(value, RangeSweep) and all(word.lstrip("-").isdigit() for word in words)
            steps = {int(b) - int(a) for a, b in pairwise(words)} if whole else set()
            if len(steps) == 1 and min(steps) > 0:
                space[key] = IntDistribution(int(words[0]), int(words[-1]), step=min(steps))
            else:
                space[key] = CategoricalDistribution(words)
        except ValueError as error:
            raise GantoolError(f"{str(one.input_line).lstrip('+')}: {error}") from error
    return space


def as_begun(study: "optuna.Study", space: "dict[str, BaseDistribution]") -> "dict[str, BaseDistribution]":
    """The space with its values in the order in which the study's trials had them. Raises GantoolError where those were
    asked for other keys, or for other values to choose from."""
    from optuna.distributions import CategoricalDistribution, check_distribution_compatibility

    found = dict(space)
    for before in [trial.distributions for trial in study.get_trials(deepcopy=False) if trial.distributions][:1]:
        if differs := sorted(before.keys() ^ space.keys()):
            raise GantoolError(f"the trials of this study vary other keys ({', '.join(differs)}): {ANOTHER}")
        for key, one in space.items():
            old = before[key]
            if isinstance(old, CategoricalDistribution) and isinstance(one, CategoricalDistribution):
                found[key] = old if set(old.choices) == set(one.choices) else one
            try:
                check_distribution_compatibility(old, found[key])
            except ValueError:
                raise GantoolError(f"the trials of this study have other values of {key} ({old}): {ANOTHER}") from None
    return found


def is_within(params: Mapping[str, object], space: "Mapping[str, BaseDistribution]") -> bool:
    """Whether these are values of the space, a number or a word each as the space has them, for each of its keys."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def is_one(value: object, of: "BaseDistribution") -> bool:
        if isinstance(of, CategoricalDistribution):
            return isinstance(value, str) and value in of.choices
        if isinstance(of, IntDistribution):
            return type(value) is int and of.low <= value <= of.high and (value - of.low) % of.step == 0
        if not isinstance(of, FloatDistribution) or not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return of.low <= value <= of.high

    return params.keys() == space.keys() and all(is_one(value, space[key]) for key, value in params.items())


def combinations(space: "dict[str, BaseDistribution]") -> Iterator[dict[str, Any]]:
    """Every combination of the values, whole numbers of an interval among them; raises GantoolError for another one."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    values: dict[str, Sequence[Any]] = {}
    for key, one in space.items():
        if isinstance(one, CategoricalDistribution):
            values[key] = one.choices
        elif isinstance(one, IntDistribution) and not one.log:
            values[key] = range(one.low, one.high + 1, one.step)
        else:
            raise GantoolError(f"study.sampler=grid needs values, and {key} is an interval")
    return (dict(zip(values, combination, strict=True)) for combination in product(*values.values()))
