"""status.json: in what state a run is, for people, sweeps and scripts that look at its folder."""

import json
from pathlib import Path
from typing import Any

from gantool.files import read_json, read_plain, write_whole

NAME = "status.json"
_KINDS = {"state": str, "error": str, "higher_is_better": list}
_KINDS |= dict.fromkeys(("progress", "metrics", "margins", "best", "watchdog", "machine", "parameters"), dict)


def write_status(run_dir: Path, **status: Any) -> None:
    """Replaces `run_dir`/status.json in one step: a reader sees the old file or the new one, never half of it."""
    write_whole(run_dir / NAME, json.dumps(status, indent=2, default=str) + "\n")


def read_status(run_dir: Path) -> dict[str, Any]:
    """What `write_status` wrote last, without what is damaged in it; {} for a folder without a status, or with one
    that is damaged as a whole."""
    try:
        status = read_json(read_plain(run_dir / NAME))
    except (OSError, ValueError):
        return {}
    if not isinstance(status, dict):
        return {}
    known = {key: value for key, value in status.items() if value is None or isinstance(value, _KINDS.get(key, object))}
    if best := known.get("best"):  # without whole numbers of any length, which no float holds
        known["best"] = {key: v for key, v in best.items() if not isinstance(v, float | int) or abs(v) < 1e100}
    for key, kind in (("progress", int), ("metrics", float | int | None), ("margins", float | int | None)):
        if isinstance(inner := known.get(key), dict):
            known[key] = {name: v for name, v in inner.items() if isinstance(v, kind) and (v is None or abs(v) < 1e100)}
    for holder, key in ((known, "higher_is_better"), (known.get("watchdog") or {}, "noticed")):
        if (texts := holder.get(key)) is not None:
            holder[key] = [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
    return known
