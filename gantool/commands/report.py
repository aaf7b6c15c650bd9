"""gantool report: a run, or several compared, as one HTML page that needs nothing else."""

import logging
from pathlib import Path

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict

from gantool.runs.trained import read_options
from gantool.errors import GantoolError
from gantool.page.reading import RunFolder
from gantool.page.render import page_of_run, page_of_runs

log = logging.getLogger(__name__)


class Options(BaseModel):
    """The keys of conf/report.yaml."""

    model_config = ConfigDict(strict=True, extra="forbid")

    run: str | list[str] | None
    metric: str | None
    out: str | None


def report(cfg: DictConfig) -> None:
    """Writes the page and says where it is. Raises GantoolError for the user's mistakes."""
    options = read_options(cfg, Options)
    named = [options.run] if isinstance(options.run, str) else options.run
    if not named:
        raise GantoolError("which run? run=FOLDER names a run's folder or a sweep's, run=[A,B] several runs")
    first = Path(named[0]).expanduser()
    if jobs := jobs_of_sweep(first) if len(named) == 1 else []:
        page, place = page_of_runs(f"Sweep {first.resolve().name}", jobs, options.metric), first
    elif len(named) == 1:
        page, place = page_of_run(RunFolder.open(first)), first
    else:
        folders = [RunFolder.open(folder).path for folder in named]
        if len({folder.name for folder in folders}) < len(folders):
            raise GantoolError(f"run={','.join(named)}: two folders have one name; rename one, or compare them by -m")
        page, place = page_of_runs(f"{len(folders)} runs", folders, options.metric), Path.cwd()
    out = Path(options.out).expanduser() if options.out else place / "report.html"
    out = out / "report.html" if out.is_dir() else out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise GantoolError(f"cannot write {out} ({error.strerror or error}): make room or choose out=FILE") from error
    log.info("%s  %.1f MB", out, out.stat().st_size / 1e6)


def jobs_of_sweep(folder: Path) -> list[Path]:
    """The jobs' folders, in order of their numbers; [] where `folder` is no sweep's."""
    if not folder.is_dir() or (folder / ".hydra").is_dir():
        return []
    jobs = [path for path in folder.iterdir() if path.is_dir() and path.name.partition("-")[0].isdigit()]
    return sorted((job for job in jobs if (job / "status.json").is_file()), key=lambda p: int(p.name.partition("-")[0]))
