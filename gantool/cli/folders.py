"""Remembers which folders Hydra makes for a command, so that one that failed at once leaves nothing behind."""

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gantool.config.composed import folders_of
from gantool.config.written import as_typed


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder, and the score that ranks its jobs (None: the first one found)."""

    folder: Path
    metric: str | None
    words: tuple[str, ...] = ()  # as they were typed for it, and as earlier versions had them: each ${...} resolved
    sources: tuple[str, ...] = ()  # the folders of YAML files beside gantool's own that it is composed from
    begun: bool = True  # False while a sweeper of gantool's has launched no job


sweep: Sweep | None = None  # this command's, once it has begun
run: Path | None = None  # of a single run: the folder that Hydra is about to make, or has made
WHERE = "set hydra.run.dir= or GANTOOL_OUTPUTS="
_made: list[Path] = []  # topmost folder that was not there before the command


class Folders(Callback):
    """Told by Hydra (conf/gantool.yaml) what it is about to make."""

    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        """A single run begins."""
        global run
        with suppress(OmegaConfBaseException, OSError):  # Hydra meets it again and ends the command
            run = Path(config.hydra.run.dir)
            note(run)

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """A sweep begins."""
        global sweep
        with suppress(OmegaConfBaseException):
            hydra, metric = config.hydra, config.get("sweep_metric")
            words, sources = as_typed(hydra), folders_of(hydra.runtime)
            for place in range(len(words)):
                with suppress(OmegaConfBaseException):  # ${..key} means another key here than where it was typed for
                    words.append(str(hydra.overrides.task[place]))
            sweep = Sweep(Path(hydra.sweep.dir).absolute(), metric, tuple(words), tuple(sources))
            note(sweep.folder)


def forget() -> None:
    """A new command begins."""
    global sweep, run
    sweep = run = None
    _made.clear()


def refused(error: Exception) -> str | None:
    """What to tell where Hydra could not make the folder of a single run; None for other errors."""
    if run is None or not isinstance(error, OSError) or Path(str(error.filename)) not in (run, *run.parents):
        return None
    return f"cannot write {run} ({error.strerror}): {WHERE}"


def rank_by(metric: str) -> None:
    """The sweep's jobs are ranked by this score, unless the user has said by which."""
    global sweep
    if sweep is not None and sweep.metric is None:
        sweep = replace(sweep, metric=metric)


def tell_begun(begun: bool) -> None:
    """Whether a job of the sweep has been launched."""
    global sweep
    if sweep is not None:
        sweep = replace(sweep, begun=begun)


def remove_unused() -> None:
    """Removes the folders that this command made and put nothing into."""
    for folder in _made:
        with suppress(FileNotFoundError):  # another rank removes it meanwhile
            files = [path.name for path in folder.rglob("*") if not path.is_dir()]
            if folder.is_dir() and set(files) <= {"multirun.yaml", "sweep.json", ".sweep.lock", ".study.lock"}:
                shutil.rmtree(folder, ignore_errors=True)


def discard(folder: Path) -> None:
    """Removes a run's folder with all that is in it, where this command made it."""
    if any(made in (folder, *folder.parents) for made in _made):
        shutil.rmtree(folder, ignore_errors=True)


def note(folder: Path) -> None:
    """The folder is about to be made, with those above it that are not there."""
    missing = [path for path in (folder.absolute(), *folder.absolute().parents) if not path.exists()]
    _made.extend(missing[-1:])
