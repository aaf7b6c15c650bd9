"""gantool report: a run, or several compared, as one HTML page that needs nothing else."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from gantool.config.options import OfRun, OutFile, key
from gantool.errors import GantoolError
from gantool.paths import expanded

log = logging.getLogger(__name__)


class Options(OfRun):
    """Writes one HTML page on a run, or on several that are compared.

    The page holds its pictures and curves itself: it can be mailed, printed, and opened without a network.
    """

    usage: ClassVar[str] = "run=RUN_OR_SWEEP_FOLDER [key=value]"

    run: str | list[str] | None = key(None, "a run's folder or a sweep's, or several runs: 'run=[A,B]'")
    metric: str | None = key(None, "score that ranks several runs; null: the first one found")
    out: OutFile | None = key(None, "file to write; null: RUN/report.html, for several runs ./report.html")


def report(options: Options) -> None:
    """Writes the page and says where it is. Raises GantoolError for the user's mistakes."""
    from gantool.files import write_whole
    from gantool.page.reading import RunFolder
    from gantool.page.render import page_of_run, page_of_runs
    from gantool.runs.output import writing
    from gantool.sweeps.best import tell_best
    from gantool.sweeps.ranking import ranking
    from gantool.sweeps.results import jobs_of_sweep, read_results
    from gantool.sweeps.tables import save_ranking

    named = [options.run] if isinstance(options.run, str) else options.run
    if not named:
        raise GantoolError("which run? run=FOLDER names a run's folder or a sweep's, run=[A,B] several runs")
    first = expanded(named[0])
    jobs = jobs_of_sweep(first) if len(named) == 1 else []
    if not any((job / "status.json").is_file() for job in jobs):
        jobs = []
    if options.metric is not None and len(named) == 1 and not jobs:
        raise GantoolError(f"metric={options.metric} ranks several runs, and {first} is a single run; leave it out")
    place = first if len(named) == 1 else Path.cwd()
    out = expanded(options.out) if options.out else place / "report.html"
    out = out / "report.html" if out.is_dir() else out
    if out.is_file() and b'content="gantool"' not in out.read_bytes()[:500]:
        raise GantoolError(f"out={out} exists and was not written by gantool: choose another")
    # Elsewhere, no files that were not asked for are written into a folder of the user's.
    is_within = bool(jobs) and out.parent.is_dir() and out.parent.samefile(first)
    if jobs:
        title, ranked = f"Sweep {first.resolve().name}", ranking(read_results(first), options.metric)
        # A folder that is looked into may be anybody's.
        best = tell_best(first.absolute(), ranked, write=False, trusted=options.trust)
        with tempfile.TemporaryDirectory() as scratch:
            pictures = _of_search(first.absolute(), jobs, first if is_within else Path(scratch), options.trust)
            page = page_of_runs(title, jobs, options.metric, pictures, best)
    elif len(named) == 1:
        page = page_of_run(RunFolder.open(first, options.trust))
    elif options.trust:
        raise GantoolError("trust=true is for the page of one run or sweep: leave it out")
    else:
        folders = [RunFolder.open(folder).path for folder in named]
        if len({folder.name for folder in folders}) < len(folders):
            raise GantoolError(f"run={','.join(named)}: two folders have the same name; rename one")
        page = page_of_runs(f"{len(folders)} runs", folders, options.metric)
    with writing(out, "make room or choose out=FILE"):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, page)
        if is_within:
            save_ranking(first, ranked)
    log.info("%s  %.1f MB", out, out.stat().st_size / 1e6)


def _of_search(folder: Path, jobs: Sequence[Path], into: Path, trusted: bool) -> list[Path]:
    """Pictures of the search in a sweep's folder, drawn anew `into` another where its trials can be had."""
    from gantool.sweeps.storage import JOURNAL, address_in, reached
    from gantool.sweeps.study import draw, open_study

    try:
        kept = (folder / JOURNAL).is_file()
        url = None if kept else address_in(jobs, trusted=trusted)
        if kept or url is not None:
            study = open_study(folder, url, look=True)
            with reached(folder, url):
                if drawn := draw(into, study):
                    return drawn
    except (GantoolError, OSError) as error:
        log.warning("the trials of the search cannot be drawn: %s", error)
    return sorted(folder.glob("study-*.png"))
