"""From a run's files to the parts of its page: what is told, drawn and shown, in which order."""

import json
import re
import shlex
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from gantool.config.composed import naming, own_folders
from gantool.logging.protocol import NOT_HOW
from gantool.logging.tensorboard import CHARTS
from gantool.margins import written
from gantool.page.chart import Points, chart, colours, number
from gantool.page.reading import RunFolder, inlined, rows_of, width_of
from gantool.sweeps.results import Result

GROWTH = 6  # grids in the strip
CAPTIONS = {
    "path": "From one latent to the next",
    "category": "Categorical code, a row for each of its values",
    "code": "Continuous code from -2 to 2, a row for each latent",
    "embed": "Where real and generated images lie (gantool embed)",
    "neighbours": "Samples and the training images nearest to them (gantool embed)",
    "attributions": "The pixels that the discriminator's scores come from (gantool explain)",
    "directions": "What the strongest directions of a latent change (gantool explain)",
    "spectrum": "How many directions of a latent matter (gantool explain)",
    "curve": "Scores at each truncation threshold (gantool truncation)",
    "samples": "The same latents at each truncation threshold (gantool truncation)",
}


@dataclass(frozen=True)
class Figure:
    """A picture or a chart with its caption."""

    caption: str
    source: str = ""  # a data: address
    width: int = 0  # pixels on the page, as far as there is room; 0: all there is
    svg: str = ""
    legend: tuple[tuple[str, str], ...] = ()  # name, colour
    rows: tuple[str, ...] = ()  # what the picture's rows are, from the top


def headline(run: RunFolder) -> dict[str, Any]:
    """Title, state, and facts in a line each."""
    chosen, config, status, result = run.choices, run.config, run.status, Result.read(run.path)
    trainer, dataset = config.get("trainer", {}), config.get("dataset", {})
    progress = status.get("progress") or {}
    title = " · ".join(chosen[group] for group in ("model", "loss", "dataset") if group in chosen) or run.path.name
    machine, sizes = status.get("machine") or {}, status.get("parameters") or {}
    side, total = dataset.get("resolution"), progress.get("total", 0)
    shape = [dataset.get("channels"), *(side if isinstance(side, list) else [side, side])]
    facts = {
        "Seen": f"{run.kimg:,.10g} of {total / 1000:,.10g} kimg, {progress.get('rounds', 0):,} rounds",
        "Trained for": str(timedelta(seconds=round(run.seconds))),
        "Images": "x".join(map(str, shape)),
        "Conditional": "yes" if config.get("model", {}).get("conditional") else "no",
        "Batch": str(trainer.get("batch_size")),
        "Seed": str(trainer.get("seed")),
        "Preset": chosen.get("experiment", ""),
        "Parameters": ", ".join(f"{name} {size:,}" for name, size in sizes.items() if isinstance(size, int)),
        "Device": ", ".join(str(machine[key]) for key in ("device", "precision") if key in machine),
        "Made with": ", ".join(f"{key} {machine[key]}" for key in ("gantool", "torch") if key in machine),
    }
    rates = {tag.partition("/")[2]: points for tag, points in run.curves.items() if tag.startswith("learning_rate/")}
    if rates and all(constant(points) for points in rates.values()):
        facts["Learning rates"] = ", ".join(f"{name} {number(points[0][1])}" for name, points in rates.items())
    return {
        "title": title,
        "folder": str(run.path),
        "command": shlex.join(["gantool", "train", *naming(own_folders(run.path)), *run.overrides]),
        "state": result.state,
        "error": result.error,
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
            figures.append(Figure(caption + when, source, rows=rows_of(grids[-1][1])))
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


def scores(run: RunFolder) -> list[list[str]]:
    """A row for each score: name, which way is better, its last and best values by the last protocol, and what real
    images score."""
    floor = next((p["floor"] for p in reversed(run.protocols) if p.get("floor")), {})
    better = {name for protocol in run.protocols for name in protocol.get("higher_is_better") or ()}
    rows = []
    for tag, points in run.curves.items():
        kind, _, name = tag.partition("/")
        if kind not in ("metrics", "codes"):
            continue
        higher = kind == "codes" or name in better
        best = (max if higher else min)(run.measured(tag)[-1], key=lambda point: point[1])
        kimg, value = points[-1]
        last = _score(value, dict(run.curves.get(f"margin/{name}", ())).get(kimg))
        real = number(floor[name]) if name in floor else "-"
        told = f"{number(best[1])} at {number(best[0])} kimg"
        rows.append([tag.removeprefix("metrics/"), "higher" if higher else "lower", last, told, real])
    return rows


def cards(protocols: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Protocols as lines of text, without what is not set and what is told elsewhere."""
    return [
        {key.replace("_", " "): text for key, value in p.items() if key not in NOT_HOW and (text := _as_text(value))}
        for p in protocols
    ]


def warnings(protocols: list[dict[str, Any]]) -> list[str]:
    """Each once."""
    return list(dict.fromkeys(str(p["warning"]) for p in protocols if p.get("warning")))


def _as_text(value: Any, deepest: int = 20) -> str:
    if deepest == 0:  # none of ours
        return "..."
    if value is None or (isinstance(value, str) and value.startswith("gantool.")):  # a class, which the name tells
        return ""
    if isinstance(value, dict):
        told = {key: part for key, part in value.items() if "/" not in key}  # fd_digits/three as fd_digits
        parts = {key: _as_text(part, deepest - 1) for key, part in told.items()}
        return ", ".join(f"{key} {part}".strip() for key, part in parts.items() if part or key != "class")
    if isinstance(value, list | tuple):
        return ", ".join(_as_text(part, deepest - 1) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)


def evaluations(run: RunFolder) -> list[dict[str, Any]]:
    """What `gantool evaluate` measured: a table of scores and checkpoints for each protocol, with the warnings that
    training did not give too."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for result in run.results("evaluated"):
        if isinstance(result.get("scores"), dict) and isinstance(result.get("nimg"), int):
            result |= {key: {} for key in ("protocol", "margins", "floor") if not isinstance(result.get(key), dict)}
            tables.setdefault(json.dumps(result["protocol"], sort_keys=True), []).append(result)
    made, told = [], warnings(run.protocols)
    for results in tables.values():
        results.sort(key=lambda result: result["nimg"])
        names, protocol, floor = list(results[0]["scores"]), results[0]["protocol"], results[-1]["floor"]
        table = [["checkpoint", *map(_of_class, names)]]
        for one in results:
            values = (_score(one["scores"].get(name), one["margins"].get(name)) for name in names)
            table.append([f"{one['nimg'] / 1000:.10g} kimg", *values])
        table += [["real images", *(_score(floor.get(name)) for name in names)]] if floor else []
        if len(table) <= len(names):  # the longer side goes down the page
            table = [list(column) for column in zip(*table, strict=True)]
            table[0][0] = "score"
        heads, *rows = table
        new = [line for line in warnings([protocol]) if line not in told]
        told += new
        made.append({"heads": heads, "rows": rows, "warnings": new, "card": cards([protocol])[0]})
    return made


def _of_class(name: str) -> str:
    """fd_digits/three: the score of one class."""
    score, _, label = name.partition("/")
    return f"{score}, class {label}" if label else score


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
            *before, last = run.measured(tag)
            scored[rest] = {rest: last, **{f"other protocol ({n})": one for n, one in enumerate(before, 1)}}
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
    return _figures(pictures, scale=2)


def analyses(run: RunFolder) -> list[Figure]:
    """What `gantool embed`, `explain` and `truncation` drew."""
    kinds = ("embedded", "explained", "truncation")
    return _figures({path.stem: path for kind in kinds for path in run.newest_pictures(kind)})


def _figures(pictures: dict[str, Path], scale: int = 1) -> list[Figure]:
    def caption(name: str) -> str:
        known = next((start for start in CAPTIONS if re.fullmatch(rf"{start}([-\d].*)?", name)), "")
        shown = name.removeprefix(known).replace("-", " ").replace("_", " ").strip()
        return f"{CAPTIONS[known]}{f': {shown}' if shown else ''}" if known else shown.capitalize()

    found = [(caption(name), inlined(path), path) for name, path in pictures.items()]
    return [Figure(t, source, width_of(path) * scale, rows=rows_of(path)) for t, source, path in found if source]
