"""From a run's files to the parts of its page: what is told, drawn and shown, in which order."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from gantool.logging.tensorboard import CHARTS
from gantool.margins import written
from gantool.page.chart import Points, chart, colours, number
from gantool.page.reading import RunFolder, inlined, width_of

GROWTH = 6  # grids in the strip
LATENT = {"path": "From one latent to the next", "category": "Categorical code", "code": "Continuous code"}


@dataclass(frozen=True)
class Figure:
    """A picture or a chart with its caption."""

    caption: str
    source: str = ""  # a data: address
    width: int = 0  # pixels on the page, as far as there is room; 0: all there is
    svg: str = ""
    legend: tuple[tuple[str, str], ...] = ()  # name, colour


def headline(run: RunFolder) -> dict[str, Any]:
    """Title, state, and facts in a line each."""
    chosen, config, status = run.choices, run.config, run.status
    trainer, dataset = config.get("trainer", {}), config.get("dataset", {})
    progress = status.get("progress") or {}
    title = " · ".join(chosen[group] for group in ("model", "loss", "dataset") if group in chosen) or run.path.name
    side, channels = dataset.get("resolution"), dataset.get("channels")
    facts = {
        "Seen": f"{run.kimg:,.4g} of {progress.get('total', 0) / 1000:,.4g} kimg, {progress.get('rounds', 0):,} rounds",
        "Trained for": str(timedelta(seconds=round(run.seconds))),
        "Images": f"{channels}x{side}x{side}",
        "Conditional": "yes" if config.get("model", {}).get("conditional") else "no",
        "Batch": str(trainer.get("batch_size")),
        "Seed": str(trainer.get("seed")),
        "Preset": chosen.get("experiment", ""),
    }
    rates = {tag.partition("/")[2]: points for tag, points in run.curves.items() if tag.startswith("learning_rate/")}
    if rates and all(constant(points) for points in rates.values()):
        facts["Learning rates"] = ", ".join(f"{name} {number(points[0][1])}" for name, points in rates.items())
    return {
        "title": title,
        "folder": str(run.path),
        "state": status.get("state", "unknown"),
        "error": status.get("error"),
        "noticed": (status.get("watchdog") or {}).get("noticed", []),
        "facts": {name: value for name, value in facts.items() if value},
    }


def constant(points: Points) -> bool:
    """True where all values are the same."""
    return len({value for _, value in points}) == 1


def final_samples(run: RunFolder) -> list[Figure]:
    """The last grid of samples beside real images."""
    figures = []
    for name, caption in (("generated", "Generated"), ("real", "Real")):
        if (grids := run.grids(name)) and (source := inlined(grids[-1][1])):
            when = f" at {number(grids[-1][0])} kimg, by the averaged generator" if name == "generated" else ""
            figures.append(Figure(caption + when, source))
    return figures


def growth(run: RunFolder) -> list[Figure]:
    """At most six grids of the same latents, at even distances from the first to the last."""
    grids = run.grids("generated")
    count = min(GROWTH, len(grids))
    if count < 2:
        return []
    chosen = [grids[round(place * (len(grids) - 1) / (count - 1))] for place in range(count)]
    figures = [(kimg, inlined(path, largest=420)) for kimg, path in chosen]
    return [Figure(f"{number(kimg)} kimg", source) for kimg, source in figures if source]


def scores(run: RunFolder) -> list[dict[str, str]]:
    """A row for each score: its last and best values, and what real images score."""
    floor = next((p["floor"] for p in reversed(run.protocols) if p.get("floor")), {})
    better = {name for protocol in run.protocols for name in protocol.get("higher_is_better") or ()}
    rows = []
    for tag, points in run.curves.items():
        kind, _, name = tag.partition("/")
        if kind not in ("metrics", "codes"):
            continue
        higher = kind == "codes" or name in better
        best = (max if higher else min)(points, key=lambda point: point[1])
        rows.append(
            {
                "name": tag.removeprefix("metrics/"),
                "better": "higher" if higher else "lower",
                "last": _score(points[-1][1], (run.curves.get(f"margin/{name}") or [(0, None)])[-1][1]),
                "best": f"{number(best[1])} at {number(best[0])} kimg",
                "real": number(floor[name]) if name in floor else "-",
            }
        )
    return rows


def cards(protocols: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Protocols as lines of text, without what is not set."""
    return [
        {key.replace("_", " "): _as_text(value) for key, value in p.items() if value is not None} for p in protocols
    ]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_as_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)


def evaluations(run: RunFolder) -> list[dict[str, Any]]:
    """What `gantool evaluate` measured: a table of checkpoints for each protocol."""
    tables: dict[str, dict[str, Any]] = {}
    for result in run.results("evaluated"):
        if not isinstance(result.get("scores"), dict) or not isinstance(result.get("nimg"), int):
            continue
        card = cards([result["protocol"] if isinstance(result.get("protocol"), dict) else {}])[0]
        table = tables.setdefault(str(card), {"card": card, "names": list(result["scores"]), "rows": [], "floor": {}})
        margins = result["margins"] if isinstance(result.get("margins"), dict) else {}
        values = [_score(result["scores"].get(name), margins.get(name)) for name in table["names"]]
        table["rows"].append((result.get("nimg", 0), values))
        table["floor"] = result["floor"] if isinstance(result.get("floor"), dict) else {}
    for table in tables.values():
        rows = [(f"{number(nimg / 1000)} kimg", values) for nimg, values in sorted(table["rows"])]
        floor = [_score(table["floor"].get(name)) for name in table["names"]]
        table["rows"] = [*rows, ("real images", floor)] if table["floor"] else rows
    return list(tables.values())


def _score(value: Any, margin: Any = None) -> str:
    if not isinstance(value, int | float):
        return "-"
    return written(value, margin) if isinstance(margin, int | float) else number(float(value))


def curves(run: RunFolder) -> list[Figure]:
    """Every scalar of the run, scores first; what no chart of ours takes is drawn by its first word."""
    floor = next((p["floor"] for p in reversed(run.protocols) if p.get("floor")), {})
    scored: dict[str, dict[str, Points]] = {}
    ours: dict[str, dict[str, Points]] = {title: {} for title, _, _ in CHARTS}
    others: dict[str, dict[str, Points]] = {}
    for tag, points in run.curves.items():
        kind, _, rest = tag.partition("/")
        if kind == "margin":
            continue
        if kind == "metrics":
            scored[rest] = {rest: points}
        elif match := next(((title, m) for title, pattern, _ in CHARTS if (m := re.fullmatch(pattern, tag))), None):
            ours[match[0]][match[1]["name"] or "images/s"] = points
        else:
            others.setdefault(kind, {})[rest] = points
    if len(ours["Terms of the losses"]) <= len(ours["Losses"]):  # the adversarial term alone is the total
        del ours["Terms of the losses"]
    if all(constant(points) for points in ours["Learning rates"].values()):  # said in the headline
        del ours["Learning rates"]
    logarithmic = {title: log for title, _, log in CHARTS}
    figures = []
    for title, lines in {**scored, **ours, **others}.items():
        levels = {"real images": floor[title]} if title in scored and title in floor else {}
        if svg := chart(lines, levels=levels, log=logarithmic.get(title)):
            figures.append(Figure(title, svg=svg, legend=tuple(colours(lines).items()) if len(lines) > 1 else ()))
    return figures


def latent_pictures(run: RunFolder) -> list[Figure]:
    """Paths and traversals: of `gantool interpolate`, or else the traversals that training left."""
    pictures: dict[str, Path] = {}
    for name in run.grid_names():
        if name not in ("generated", "real") and (grids := run.grids(name)):
            pictures[name] = grids[-1][1]
    for path in run.newest_pictures("interpolated"):
        pictures[f"{path.stem}{'-there-and-back' if path.suffix == '.gif' else ''}"] = path
    return _figures(pictures, LATENT, scale=2)


def analyses(run: RunFolder) -> list[Figure]:
    """What `gantool embed` and `gantool explain` drew."""
    return _figures({path.stem: path for kind in ("embedded", "explained") for path in run.newest_pictures(kind)}, {})


def _figures(pictures: dict[str, Path], captions: dict[str, str], scale: int = 1) -> list[Figure]:
    def caption(name: str) -> str:
        known = next((text for start, text in captions.items() if name.startswith(start)), "")
        shown = name.replace("-", " ").replace("_", " ")
        return f"{known}: {shown}" if known else shown.capitalize()

    found = [(caption(name), inlined(path), path) for name, path in pictures.items()]
    return [Figure(text, source, width=width_of(path) * scale) for text, source, path in found if source]
