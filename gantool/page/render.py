"""The page itself: of one run, or of several that are compared."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from gantool import __version__
from gantool.errors import GantoolError, did_you_mean
from gantool.margins import written
from gantool.page.chart import chart, colours, number
from gantool.page.content import (
    Figure,
    analyses,
    cards,
    curves,
    evaluations,
    final_samples,
    growth,
    headline,
    latent_pictures,
    scores,
)
from gantool.page.reading import RunFolder, inlined
from gantool.runs.ranking import Ranking, ranking
from gantool.runs.results import Result

_DRAWN = 6  # runs in a chart: as many as there are colours to tell them by
_LONGEST = 44  # characters of a name in a legend
_COMPARED = ("loss/generator/total", "loss/discriminator/total", "watchdog/diversity")


def page_of_run(run: RunFolder) -> str:
    """HTML that tells all of one run."""
    head = headline(run)
    return _rendered(
        title=head["title"],
        head=head,
        samples=final_samples(run),
        scores=scores(run),
        protocols=cards(run.protocols),
        evaluations=evaluations(run),
        growth=growth(run),
        curves=curves(run),
        latents=latent_pictures(run),
        analyses=analyses(run),
        overrides=run.overrides,
        config=run.config_text,
    )


def page_of_runs(title: str, folders: Sequence[Path], metric: str | None, pictures: Sequence[Path] = ()) -> str:
    """HTML that compares runs: ranked by `metric`, their samples, their curves over one another, and `pictures` of a
    search among settings."""
    results = {folder.name: Result.read(folder) for folder in folders}
    known = list(dict.fromkeys(name for result in results.values() for name in result.metrics))
    if metric not in (None, *known):
        listed = ", ".join(known) or "none"
        raise GantoolError(f"metric={metric}{did_you_mean(str(metric), known)}: the scores of these runs are {listed}")
    found = ranking(list(results.values()), metric)
    metric, ranked = found.metric, found.results
    runs = {f.name: RunFolder(f.resolve()) for f in folders if (f / ".hydra" / "config.yaml").is_file()}
    names = names_by_what_varies(runs)
    order = [result.name for result in ranked if result.name in runs]
    shown = [runs[name] for name in order]
    intro = f"{len(results)} runs" + (f", ranked by {metric}." if metric else "; none has a score yet.")
    if len(shown) > _DRAWN:
        intro += f" Charts show the first {_DRAWN}."
    return _rendered(
        title=title,
        intro=intro,
        ranking=_ranking(found, names),
        search=[Figure(_titled(path), source) for path in pictures if (source := inlined(path))],
        small=_last_grids(shown, names),
        protocols=cards(next((run.protocols for run in shown if run.protocols), [])),
        curves=_together(shown[:_DRAWN], names),
    )


def names_by_what_varies(runs: dict[str, RunFolder]) -> dict[str, str]:
    """What was typed for one run and not for all; its folder's name where that says nothing."""
    typed = {name: run.overrides for name, run in runs.items()}
    common = set.intersection(*(set(words) for words in typed.values())) if typed else set()
    own = {name: [w for w in words if w not in common and not w.startswith("hydra")] for name, words in typed.items()}
    # Choices of groups say more than values, which have a dot.
    names = {name: " ".join(sorted(words, key=lambda w: "." in w.partition("=")[0])) for name, words in own.items()}
    distinct = len(set(names.values())) == len(names) and all(names.values())
    return {name: text if distinct else name for name, text in names.items()}


def _ranking(order: Ranking, names: dict[str, str]) -> dict[str, Any]:
    metric, ranked = order.metric, order.results
    scored = dict.fromkeys(name for result in ranked for name in result.metrics)
    columns = [metric, *(name for name in scored if name != metric)] if metric else list(scored)
    rows = [
        {
            "rank": place,
            "name": names.get(result.name, result.name),
            "cells": [_cell(result, name) for name in columns],
            "kimg": number(result.nimg / 1000),
            "state": result.state,
        }
        for place, result in zip(order.places, ranked, strict=True)
    ]
    groups = [(g.place, g.name, g.num, [str(g.scores.get(name, "-")) for name in columns]) for g in order.groups]
    failures = [f"{names.get(r.name, r.name)}: {r.error or 'no reason given'}" for r in ranked if r.state == "failed"]
    return {"names": columns, "rows": rows, "failures": failures, "groups": groups, "notes": order.notes}


def _cell(result: Result, name: str) -> str:
    if name not in result.metrics:
        return "-"
    margin = result.margins.get(name)
    return written(result.metrics[name], margin) if margin else number(result.metrics[name])


def _last_grids(runs: Sequence[RunFolder], names: dict[str, str]) -> list[Figure]:
    figures = []
    for place, run in enumerate(runs, 1):
        if (grids := run.grids("generated")) and (source := inlined(grids[-1][1], largest=420)):
            figures.append(Figure(f"{place}. {names[run.path.name]}, {number(grids[-1][0])} kimg", source))
    return figures


def _together(runs: Sequence[RunFolder], names: dict[str, str]) -> list[Figure]:
    tags = [tag for tag in dict.fromkeys(t for run in runs for t in run.curves) if tag.startswith("metrics/")]
    labels = {run: f"{place}. {_short(names[run.path.name])}" for place, run in enumerate(runs, 1)}
    palette = colours(list(labels.values()))  # a run has one colour in every chart
    figures = []
    for tag in [*tags, *_COMPARED]:
        lines = {label: run.curves[tag] for run, label in labels.items() if tag in run.curves}
        if svg := chart(lines, palette=palette):
            figures.append(Figure(tag.removeprefix("metrics/"), svg=svg, legend=tuple((n, palette[n]) for n in lines)))
    return figures


def _titled(picture: Path) -> str:
    """study-importance-fd_digits.png: Importance: fd_digits."""
    kind, _, score = picture.stem.removeprefix("study-").partition("-")
    return f"{kind.capitalize()}: {score}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _rendered(**content: Any) -> str:
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    made = datetime.now().strftime("%Y-%m-%d %H:%M")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.ChainableUndefined)
    return environment.from_string(template).render(version=__version__, made=made, **content)
