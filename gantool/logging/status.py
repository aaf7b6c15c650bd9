"""status.json: in what state a run is, for people, sweeps and scripts that look at its folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from gantool.files import write_whole
from gantool.game import Progress
from gantool.logging.jsonl import finite

State = Literal["running", "finished", "stopped", "failed"]
NAME = "status.json"
_KINDS = {"state": str, "error": str, "higher_is_better": list}
_KINDS |= dict.fromkeys(("progress", "metrics", "best", "watchdog"), dict)


def write_status(
    run_dir: Path,
    *,
    state: State,
    progress: Progress | None = None,
    metrics: Mapping[str, float] | None = None,
    best: Mapping[str, object] | None = None,
    error: str | None = None,
    watchdog: Mapping[str, object] | None = None,
    higher_is_better: Sequence[str] = (),
) -> None:
    """Replace `run_dir`/status.json in one step: a reader sees the old file or the new one, never half of it.

    `metrics` are the last ones by name, `higher_is_better` those of them for which it is so,
    `best` whatever says which checkpoint is the best and why,
    `watchdog` what it has noticed and done.
    """
    status = {
        "state": state,
        "error": error,
        "progress": progress and {"nimg": progress.nimg, "rounds": progress.rounds, "total": progress.total},
        "metrics": {name: finite(value) for name, value in (metrics or {}).items()},
        "higher_is_better": list(higher_is_better),
        "best": best and dict(best),
    }
    if watchdog:
        status["watchdog"] = dict(watchdog)
    write_whole(run_dir / NAME, json.dumps(status, indent=2, default=str) + "\n")


def read_status(run_dir: Path) -> dict | None:
    """What `write_status` wrote last, without what is damaged in it; None for a folder without a status, or with
    one that is damaged as a whole."""
    try:
        status = json.loads((run_dir / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(status, dict):
        return None
    known = {key: value for key, value in status.items() if value is None or isinstance(value, _KINDS.get(key, object))}
    for key, kind in (("progress", int), ("metrics", float | int | None)):
        if isinstance(inner := known.get(key), dict):
            known[key] = {name: v for name, v in inner.items() if isinstance(v, kind) and (v is None or abs(v) < 1e100)}
    for holder, key in ((known, "higher_is_better"), (known.get("watchdog") or {}, "noticed")):
        if (texts := holder.get(key)) is not None:
            holder[key] = [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
    return known
