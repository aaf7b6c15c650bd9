"""The page itself: of one run, or of several that are compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from gantool import __version__
from gantool.errors import GantoolError, did_you_mean
from gantool.folder import is_run
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
    warnings,
)
from gantool.page.reading import RunFolder, inlined
from gantool.screen import cut
from gantool.sweeps.ranking import Ranking, ranking, told_apart
from gantool.sweeps.results import Result

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
        warnings=warnings(run.protocols),
        evaluations=evaluations(run),
        growth=growth(run),
        curves=curves(run),
        latents=latent_pictures(run),
        analyses=analyses(run),
        config=run.config_text,
    )


def page_of_runs(
    title: str,
    folders: Sequence[Path],
    metric: str | None,
    pictures: Sequence[Path] = (),
    best: Sequence[str] = (),
) -> str:
    """HTML that compares runs: ranked by `metric`, their samples, their curves over one another, and `pictures` of a
    search among settings; of a sweep also lines about the `best` job."""
    runs = {f.name: RunFolder(f.resolve()) for f in folders if is_run(f)}
    names = names_by_what_varies(runs)
    results = [Result.read(folder) for folder in folders]
    known = list(dict.fromkeys(name for result in results for name in result.metrics))
    if metric not in (None, *known):
        listed = ", ".join(known) or "none"
        raise GantoolError(f"metric={metric}{did_you_mean(str(metric), known)}: the scores of these runs are {listed}")
    found = ranking(results, metric)
    placed = zip(found.places, found.results, strict=True)
    shown = [Shown(place.strip("-"), names[one.name], runs[one.name]) for place, one in placed if one.name in runs]
    intro = f"{len(results)} runs" + (f", ranked by {found.metric}." if found.metric else "; none has a score yet.")
    if len(shown) > _DRAWN:
        intro += f" Charts show the first {_DRAWN}."
    first = next((one for one in shown if one.run.protocols), None)
    return _rendered(
        title=title,
        intro=intro,
        facts=_facts([one.run for one in shown]),
        best=(best[0], "\n".join(map(str.strip, best[1:]))) if best else None,
        ranking=_ranking(found, names),
        search=[Figure(_titled(path), source) for path in pictures if (source := inlined(path))],
        small=_last_grids(shown),
        protocols=cards(first.run.protocols if first else []),
        measured=f"{first.name} was measured" if first and len(shown) > 1 else None,
        curves=_together(shown[:_DRAWN]),
    )


def _facts(runs: Sequence[RunFolder]) -> dict[str, str]:
    """What several runs were made with and where, each once."""
    machines = [machine for run in runs if isinstance(machine := run.status.get("machine"), dict)]
    keys = {"Device": ("device", "precision"), "Made with": ("gantool", "torch")}
    facts: dict[str, str] = {}
    for name, parts in keys.items():
        named = name == "Made with"
        told = [", ".join(f"{p} {m[p]}" if named else str(m[p]) for p in parts if p in m) for m in machines]
        facts[name] = "; ".join(filter(None, dict.fromkeys(told)))
    return {name: value for name, value in facts.items() if value}


@dataclass(frozen=True)
class Shown:
    """A run among others."""

    place: str  # '1', '2=', '' without a score, '*' with one that was measured otherwise than the others'
    name: str
    run: RunFolder

    @property
    def caption(self) -> str:
        """Place and name."""
        return f"{self.place} {self.name}".strip()


def names_by_what_varies(runs: dict[str, RunFolder]) -> dict[str, str]:
    """What was typed for one run and not for all; its folder's name where that says nothing."""
    typed = [[word for word in run.overrides if not word.startswith("hydra")] for run in runs.values()]
    # Choices of groups say more than values, which have a dot.
    names = told_apart([sorted(words, key=lambda w: "." in w.partition("=")[0]) for words in typed])
    return dict(zip(runs, names if len(set(names)) == len(names) and all(names) else runs, strict=True))


def _ranking(order: Ranking, names: dict[str, str]) -> dict[str, Any]:
    """What is typed names a run; one that the notes tell of by its folder has that beside it."""

    def named(one: Result, place: str) -> str:
        name = names.get(one.name, one.name)
        return f"{name} ({one.name})" if place == "-*" and name != one.name else name

    ranked, columns = order.results, order.columns
    rows = [
        [place, named(one, place), *(_cell(one, name) for name in columns), number(one.nimg / 1000), one.state]
        for place, one in zip(order.places, ranked, strict=True)
    ]
    groups = [[g.place, g.name, g.num, *(str(g.scores.get(name, "-")) for name in columns)] for g in order.groups]
    return {
        "heads": ["rank", "run", *columns, "kimg", "state"],
        "rows": rows,
        "group_heads": ["rank", "settings", "seeds", *columns],
        "groups": groups,
        "failures": [f"{named(r, '')}: {r.error or 'no reason given'}" for r in ranked if r.state == "failed"],
        "notes": order.notes,
    }


def _cell(result: Result, name: str) -> str:
    if name not in result.metrics:
        return "-"
    margin = result.margins.get(name)
    return written(result.metrics[name], margin) if margin else number(result.metrics[name])


def _last_grids(shown: Sequence[Shown]) -> list[Figure]:
    figures = []
    for one in shown:
        if (grids := one.run.grids("generated")) and (source := inlined(grids[-1][1], largest=420)):
            figures.append(Figure(f"{one.caption}, {number(grids[-1][0])} kimg", source))
    return figures


def _together(shown: Sequence[Shown]) -> list[Figure]:
    tags = [tag for tag in dict.fromkeys(t for one in shown for t in one.run.curves) if tag.startswith("metrics/")]
    palette = colours([one.name for one in shown])  # a run has one colour in every chart
    figures = []
    for tag in [*tags, *_COMPARED]:
        drawn = [one for one in shown if tag in one.run.curves and (tag not in tags or one.place != "*")]
        lines = {one.name: one.run.measured(tag)[-1] if tag in tags else one.run.curves[tag] for one in drawn}
        if svg := chart(lines, palette=palette):
            legend = tuple((cut(one.caption, _LONGEST), palette[one.name]) for one in drawn)
            figures.append(Figure(tag.removeprefix("metrics/"), svg=svg, legend=legend))
    return figures


def _titled(picture: Path) -> str:
    """study-importance-fd_digits.png: Importance: fd_digits."""
    kind, _, score = picture.stem.removeprefix("study-").partition("-")
    return f"{kind.capitalize()}: {score}"


def _rendered(**content: Any) -> str:
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    made = datetime.now().strftime("%Y-%m-%d %H:%M")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.ChainableUndefined)
    return environment.from_string(template).render(version=__version__, made=made, **content)
