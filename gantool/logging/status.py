"""status.json: in what state a run is, for people, sweeps and scripts that look at its folder."""

import json
from pathlib import Path
from typing import Any

from gantool.files import write_whole

NAME = "status.json"


def write_status(run_dir: Path, **status: Any) -> None:
    """Replaces `run_dir`/status.json in one step: a reader sees the old file or the new one, never half of it."""
    write_whole(run_dir / NAME, json.dumps(status, indent=2, default=str) + "\n")


def read_status(run_dir: Path) -> dict[str, Any]:
    """What was written last; {} where there is nothing that can be read."""
    try:
        return json.loads((run_dir / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
