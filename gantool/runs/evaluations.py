"""Where evaluations are kept, RUN/evaluated/<features>-<protocol>/ (JSON, CSV, TensorBoard), and their ranked table."""

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gantool.config.composed import typed_words
from gantool.files import MARK, read_json, read_plain, whole_files, write_csv, write_json
from gantool.logging.tensorboard import beside
from gantool.margins import written
from gantool.paths import expanded
from gantool.runs.output import writing
from gantool.screen import screen
from gantool.sweeps.ranking import Ranking, ranking
from gantool.sweeps.results import Result, settings_of
from gantool.sweeps.tables import print_seeds


@dataclass(frozen=True)
class Evaluation:
    """The scores of one checkpoint."""

    run: Path
    nimg: int
    scores: dict[str, float]
    floor: dict[str, float]  # the same scores of real images
    protocol: dict[str, object]  # results of equal protocols are comparable
    margins: dict[str, float] = field(default_factory=dict)  # half of the scores' 95 % intervals

    @property
    def name(self) -> str:
        """Shared by the checkpoints of a run under one protocol, so that their scores make a curve."""
        digest = hashlib.sha256(json.dumps(self.protocol, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.protocol['extractor']}-{digest}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "run": str(self.run)}


def save(evaluation: Evaluation, place: Path, board: Path | None = None) -> Path:
    """Writes <kimg>.json and, of all checkpoints judged by its protocol, scores.csv into a folder of that protocol in
    `place`, and what TensorBoard shows of them into the folder `board`, None: the same; returns the folder."""
    folder = place / evaluation.name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(evaluation.as_dict(), folder / f"{evaluation.nimg / 1000:010.3f}.json")
        known = _whole(folder, list(evaluation.scores))
        write_scores(known, folder / "scores.csv")
        _write_events(known, folder.name, board or folder)
    return folder


def _whole(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """The results in a folder, those of earlier times too, but for files that are damaged."""
    found = []
    for path in sorted(whole_files(folder, "*.json")):
        with suppress(OSError, ValueError):
            match read_json(read_plain(path)):
                case {"run": str(), "nimg": int(), "scores": dict(scores), "floor": dict()} as one:
                    one["margins"] = margins if isinstance(margins := one.get("margins"), dict) else {}  # of late
                    found += [one] if list(scores) == names else []
    return found


def save_table(evaluations: Sequence[Evaluation], out: str) -> None:
    """Writes results.json and results.csv, in the order given, into the folder `out`."""
    folder, known = expanded(out), [evaluation.as_dict() for evaluation in evaluations]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
        write_json(known, folder / "results.json")
        write_scores(known, folder / "results.csv")


def write_scores(known: Sequence[dict[str, Any]], path: Path) -> None:
    """A line for each evaluation, its scores and then their margins, and the floor as the last."""
    names = list(known[0]["scores"])
    rows = [
        [one["run"], one["nimg"], *(one[side].get(name, "") for side in ("scores", "margins") for name in names)]
        for one in known
    ]
    floor = ["real images", "", *(known[0]["floor"].get(name, "") for name in names), *("" for _ in names)]
    write_csv(["run", "nimg", *names, *(f"{name}_margin" for name in names)], [*rows, floor], path)


def _write_events(known: Sequence[dict[str, Any]], name: str, board: Path) -> None:
    """A table as text evaluate/<protocol>, and from two checkpoints on the curves evaluate/<protocol>/<score>: one
    point makes an empty chart."""
    results = sorted(known, key=lambda result: result["nimg"])
    names, floor, protocol = list(results[0]["scores"]), results[-1]["floor"], results[-1].get("protocol") or {}
    rows = [["kimg", *names], ["---"] * (1 + len(names))]
    for one in results:
        values = [(one["scores"][score], one["margins"].get(score)) for score in names]
        rows.append([_kimg(one["nimg"]), *("-" if v is None else written(v, margin) for v, margin in values)])
    rows.append(["real images", *("-" if (real := floor.get(score)) is None else written(real) for score in names)])
    lines = [f"| {' | '.join(row)} |" for row in rows] + ["", *(f"- {key}: {v}" for key, v in protocol.items())]
    with beside(board, f"evaluated-{name}") as writer:
        writer.add_text(f"evaluate/{name}", "\n".join(lines), results[-1]["nimg"])
        for result in results if len(results) > 1 else ():
            for score, value in result["scores"].items():
                if value is not None:  # it was finite
                    writer.add_scalar(f"evaluate/{name}/{score}", value, result["nimg"])


def _names(evaluations: Sequence[Evaluation]) -> list[str]:
    """The folder's name and the images seen; the whole path where two are called so."""
    names = [f"{one.run.name} at {_kimg(one.nimg)} kimg" for one in evaluations]
    return [
        name if names.count(name) == 1 else f"{one.run} at {_kimg(one.nimg)} kimg"
        for name, one in zip(names, evaluations, strict=True)
    ]


def _kimg(nimg: int) -> str:
    return f"{nimg / 1000:.10g}"


def ranked(evaluations: Sequence[Evaluation], metric: str) -> tuple[list[Evaluation], Ranking]:
    """Best first, without a number last; and how they were ranked."""
    better = evaluations[0].protocol.get("higher_is_better")
    higher = tuple(better) if isinstance(better, list) else ()
    runs = [one.run for one in evaluations]
    results = [
        Result(
            name,
            "finished",
            None,
            one.nimg,
            {key: value for key, value in one.scores.items() if math.isfinite(value)},
            higher,
            one.margins,
            one.protocol,
            settings,
            tuple(typed_words(one.run)),
            seed=seed,
        )
        for name, one, (settings, seed) in zip(_names(evaluations), evaluations, map(settings_of, runs), strict=True)
    ]
    found = ranking(results, metric)
    return [evaluations[results.index(result)] for result in found.results], found


def print_table(evaluations: Sequence[Evaluation], metric: str, order: Ranking) -> None:
    """Ranked ones, and what real images score; whether the best is better than the others beyond chance."""
    from rich.table import Column, Table

    names = list(evaluations[0].scores)
    classes = [name for name in names if "/" in name and name != metric]  # fd_digits/three: in a table of their own
    names = [name for name in names if name not in classes]
    heads = (f"{name} (ranked)" if name == metric and len(evaluations) > 1 else name for name in names)
    table = Table("rank", Column("run", overflow="fold"), "kimg", *heads, box=None)
    for place, one in zip(order.places, evaluations, strict=True):
        cells = [place, str(one.run), _kimg(one.nimg)]
        cells += [written(one.scores[name], one.margins.get(name)) for name in names]
        table.add_row(*cells)
    floor = evaluations[0].floor
    table.add_row("-", "real images", "-", *(f"{floor[name]:.4g}" if name in floor else "-" for name in names))
    console = screen(soft_wrap=True)
    console.width = console.width if console.is_terminal else 200
    console.print(table)
    if classes:
        table = Table("distance of each class", *_names(evaluations), "real images", box=None)
        for name in classes:
            cells = [written(one.scores[name], one.margins.get(name)) for one in evaluations]
            table.add_row(name, *cells, f"{floor[name]:.4g}")
        console.print(table)
    print_seeds(console, order)
    for line in order.compared():
        console.print(line)
