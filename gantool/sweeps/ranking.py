"""Results ranked by a score: ties within the margin, seeds together, and none beside one of another protocol."""

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gantool.logging.protocol import LATER, ways
from gantool.margins import Estimate, places
from gantool.sweeps.results import Result


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone, or of one seed."""

    name: str
    place: str
    scores: dict[str, Estimate]
    settings: str | None = None  # that they share; None: not known

    @property
    def num(self) -> int:
        """Of its seeds."""
        return max(score.num for score in self.scores.values())


@dataclass(frozen=True)
class Ranking:
    """Best first; `notes` are lines that tell what the table alone would hide."""

    metric: str | None
    results: list[Result]
    places: list[str]  # of each result: '1', '2=', '-' without that score, '-*' where it has another protocol
    groups: list[Group]  # best first; [] where no two runs differ in their seed alone
    notes: list[str]

    @property
    def columns(self) -> list[str]:
        """Every score of a result, first that which ranks."""
        scores = [name for one in self.results for name in one.metrics]
        return list(dict.fromkeys(scores if self.metric is None else [self.metric, *scores]))

    def compared(self) -> list[str]:
        """A line for each setting, against the best one: whether the difference is beyond the spread."""
        metric = self.metric or ""
        placed = [one for one, place in zip(self.results, self.places, strict=True) if place[0] != "-"]
        groups = self.groups or _groups(placed, metric)
        return [_comparison(groups[0], one, metric) for one in groups[1:]]


def _comparison(best: Group, one: Group, metric: str) -> str:
    a, b = best.scores[metric], one.scores[metric]
    line = f"{best.name} against {one.name}: {metric} differs by {abs(a.value - b.value):.3g}"
    if not (a.error and b.error):  # the other's alone would be too little
        return f"{line}; the spread by chance is not known"
    of, more = "over seeds", ""
    if a.num == 1 or b.num == 1:
        same = best.settings is not None and best.settings == one.settings  # two states of a run
        of, more = "of images", "" if same else "; seeds may differ by more: train several of both and name them all"
    needed = a.needs(b)
    return f"{line}, {'within' if a.ties(b) else 'beyond'} the spread {of} ({needed:.2g} at 95 %){more}"


def ranking(results: Sequence[Result], metric: str | None) -> Ranking:
    """Ranks what was measured alike; results of another protocol than most have come last, unranked and marked."""
    metric, ordered = _ordered(results, metric)
    scored = [one for one in ordered if one.state not in ("failed", "pruned") and metric in one.metrics]
    told = ways([one.protocol for one in scored], metric or "")
    [(usual, _)] = Counter(told).most_common(1) or [("null", 0)]  # the best's where several are as frequent
    alike = [one for one, way in zip(scored, told, strict=True) if way == usual]
    others = [(one, way) for one, way in zip(scored, told, strict=True) if way != usual]
    rest = [one for one in ordered if one not in scored]
    found = [*places([one.estimate(metric or "") for one in alike])]
    found += ["-*"] * len(others) + ["-"] * len(rest)
    groups = _groups(alike, metric or "")
    tables = groups if any(one.num > 1 for one in groups) else []
    notes = [f"* {one.name} is not ranked: {_difference(way, usual)}" for one, way in others]
    warned: dict[str, list[str]] = {}
    for one in scored:
        if one.protocol and (text := one.protocol.get("warning")):
            warned.setdefault(str(text), []).append(one.name)
    notes += [f"note: {text}" + _of(names, scored) for text, names in warned.items()]
    notes += [f"note: {text}" for text in _too_few_seeds(tables, metric or "")]
    ordered = [*alike, *(one for one, _ in others), *rest]
    return Ranking(metric, ordered, found, tables, notes)


def _ordered(results: Sequence[Result], metric: str | None) -> tuple[str | None, list[Result]]:
    """The metric that ranks (the first one found where None is asked for) and the results, best first.

    Jobs without that score come after the ones with it, then those that were pruned, failures last.
    """
    metric = metric or next((name for result in results for name in result.metrics), None)

    def place(result: Result) -> tuple[int, float]:
        score = result.metrics.get(metric or "", math.nan)
        higher = metric in result.higher_is_better
        last = ("pruned", "failed").index(result.state) + 1 if result.state in ("pruned", "failed") else 0
        return last, math.inf if math.isnan(score) else (-score if higher else score)

    return metric, sorted(results, key=place)


def _too_few_seeds(groups: Sequence[Group], metric: str) -> Iterator[str]:
    """A line for each place that is shared although the means lie apart: of few seeds nobody knows the spread."""
    for place in dict.fromkeys(one.place for one in groups):
        first, *others = (one for one in groups if one.place == place)
        best = first.scores[metric]
        apart = [one for one in others if abs(best.value - one.scores[metric].value) > best.apart(one.scores[metric])]
        nums = [one.num for one in (first, *apart)]
        if apart and max(nums) > 1:
            few = f"{min(nums)} seeds are" if min(nums) > 1 else "1 seed is"
            yield f"{few} too few to tell {first.name} from {', '.join(one.name for one in apart)}"


def shortened(word: str) -> str:
    """optimizer.lr=0.000498 where it was typed with more than four digits: so folders of a search are called too."""
    key, equals, value = word.partition("=")
    is_long = re.fullmatch(r"[-+]?(?=.*[.e])\d*\.?\d+(e[-+]?\d+)?", value) and equals
    return f"{key}={float(value):.4g}" if is_long and len(f"{float(value):.4g}") < len(value) else word


def told_apart(words: Sequence[Sequence[str]]) -> list[str]:
    """What each has of its own, in short, and without the number of a trial, where that still tells them apart."""
    common = set.intersection(*map(set, words)) if words else set()
    own = [[word for word in one if word not in common] for one in words]
    for kept in ([[word for word in one if not word.startswith("study.trial=")] for one in own], own):
        for names in ([" ".join(map(shortened, one)) for one in kept], [" ".join(one) for one in kept]):
            if len(set(names)) == len(names) and (all(names) or kept is own):
                return names
    return [" ".join(one) for one in own]


def _of(names: list[str], scored: Sequence[Result]) -> str:
    return "" if len(names) == len(scored) else f" ({', '.join(names)})"


def _difference(way: str, usual: str) -> str:
    own, theirs = json.loads(way), json.loads(usual)
    if own is None or theirs is None:
        return "how it was scored is not known" if own is None else "how the others were scored is not known"
    lacking = [key for key in LATER if key not in own or key not in theirs]
    keys = [key for key in {**own, **theirs} if own.get(key) != theirs.get(key) and key not in lacking]
    if not keys:
        which = "it was" if any(key not in own for key in lacking) else "the others were"
        return f"{which} scored by an earlier version of gantool, which did not record on which images"
    return "scored with " + ", ".join(f"{key} {own.get(key)} and not {theirs.get(key)}" for key in keys)


def _groups(alike: Sequence[Result], metric: str) -> list[Group]:
    """By settings; and by images seen where runs of one seed are there at several points, or one has not ended."""
    members: dict[object, list[Result]] = {}
    points = Counter((one.settings, one.seed) for one in alike)
    several = {settings for (settings, _), count in points.items() if count > 1}
    several |= {one.settings for one in alike if one.state in ("stopped", "running elsewhere")}
    for index, one in enumerate(alike):
        place = (one.settings, one.nimg if one.settings in several else None)
        members.setdefault(place if one.settings else index, []).append(one)
    groups = list(members.values())
    words = [[word for word in group[0].words if not word.startswith(("trainer.seed=", "hydra"))] for group in groups]
    names = ["all"] if len(words) == 1 else told_apart(words)
    distinct = len(set(names)) == len(names) and all(names)
    made = [
        Group(
            name if distinct else first.name, "", {key: _estimate(group, key) for key in first.metrics}, first.settings
        )
        for name, group, first in zip(names, groups, (group[0] for group in groups), strict=True)
    ]
    sign = -1 if alike and metric in alike[0].higher_is_better else 1
    made.sort(key=lambda one: sign * one.scores[metric].value)
    found = places([one.scores[metric] for one in made])
    return [replace(one, place=place) for one, place in zip(made, found, strict=True)]


def _estimate(group: Sequence[Result], metric: str) -> Estimate:
    """Over the seeds: runs of one seed say nothing of what others would score, so they count once."""
    scored = [one for one in group if metric in one.metrics]
    seeds: dict[object, list[float]] = {}
    for index, one in enumerate(scored):
        seeds.setdefault(f"unknown {index}" if one.seed is None else one.seed, []).append(one.metrics[metric])
    values = [statistics.fmean(same) for same in seeds.values()]
    return Estimate.of_seeds(values) if len(values) > 1 else replace(scored[0].estimate(metric), value=values[0])
