"""gantool from Python, such as in a notebook: the same builder behind five lines.

run = gantool.train(["model=mlp", "trainer.duration=20kimg"])
images = run.sample(64, seed=1)                      # (64, C, H, W) uint8
run = gantool.load_run("outputs/2026-11-26/...")     # another day
generator = gantool.load("snapshot.safetensors")     # what `gantool export` wrote
images = generator.sample(64)                        # (64, C, H, W) float32 in [-1, 1]
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import OmegaConf

from gantool.cli import folders
from gantool.cli.arguments import add_arguments, check_study, check_values, quote_paths, quoted
from gantool.cli.job import record_failure, record_interrupt, status_time
from gantool.config.composed import without_hydra
from gantool.config.messages import as_typed
from gantool.config.resolvers import register_resolvers
from gantool.config.wording import in_one_line
from gantool.errors import GantoolError, InUse
from gantool.folder import in_use
from gantool.launch import agree_on_start
from gantool.paths import conf_dir, expanded, settle_outputs
from gantool.runs.output import writing
from gantool.runs.start import train_run
from gantool.runs.trained import TrainedRun, open_run
from gantool.screen import Plain

_OURS = ("hydra.run.dir=", "hydra.searchpath=")  # Hydra's words that mean something here


def train(overrides: Sequence[str] = (), *, config_dir: str | Path | None = None, **more: object) -> TrainedRun:
    """Trains what `gantool train OVERRIDES` would and returns the run, with its averaged generator.

    `config_dir`: a folder of YAML files of one's own, as --config-dir. hydra.run.dir=FOLDER names the run's folder; one
    that is there goes on. Whoever writes `more` is told how words are given. Raises GantoolError for the user's
    mistakes, and SystemExit where a signal stopped it.
    """
    _check_words(overrides, more)
    if not logging.root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(Plain("%(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        logging.getLogger("matplotlib").setLevel(logging.WARNING)  # which tells of the fonts that it finds
    settle_outputs()
    register_resolvers(agree_on_start(claim=True))
    GlobalHydra.instance().clear()
    for word in overrides:
        if word.startswith(("hydra/launcher=", "hydra.launcher.", "hydra.sweep.")):
            raise GantoolError(f"{word} belongs to a sweep: use gantool train -m, or leave it out")
        if word.lstrip("+").startswith("hydra.") and not word.lstrip("+").startswith(_OURS):
            raise GantoolError(f"{word} does nothing here: leave it out")
    words = quote_paths([], overrides)
    check_values(words)
    check_study("train", [], words)
    words = add_arguments(words)
    if config_dir is not None:
        words.append(f"hydra.searchpath=[{quoted(f'file://{expanded(config_dir).absolute()}')}]")
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            whole = compose("train", overrides=words, return_hydra_config=True)
    except HydraException as error:
        raise GantoolError(in_one_line(error) or str(error)) from error
    HydraConfig.instance().set_config(whole)
    folder = Path(whole.hydra.run.dir)
    cfg = without_hydra(whole)
    if OmegaConf.select(cfg, "trainer.dry_run", throw_on_resolution_failure=False) is True:
        raise GantoolError("trainer.dry_run=true makes no run to return: use it on the command line (gantool train)")
    folders.forget()
    with writing(folder, folders.WHERE):
        folders.note(folder)
        folder.mkdir(parents=True, exist_ok=True)
    before = status_time(folder)
    try:
        train_run(cfg, folder, whole.hydra)
    except Exception as error:
        if status_time(folder) != before and not (isinstance(error, InUse) or in_use(folder)):
            kind = "" if isinstance(error, GantoolError) else f"{type(error).__name__}: "
            record_failure(folder, f"{kind}{error}")
        raise
    except KeyboardInterrupt:
        record_interrupt(folder)
        raise
    finally:
        folders.remove_unused()
    return open_run(folder, cfg, ema=True, device=cfg.trainer.device, checkpoint="newest")


def _check_words(overrides: Sequence[str] | Mapping[str, object], words: Mapping[str, object]) -> None:
    """Raises GantoolError for what is no list of words."""
    if isinstance(overrides, str):
        raise GantoolError(f"{overrides!r} is one string: give a list of words, gantool.train({overrides.split()})")
    if isinstance(overrides, Mapping):
        words = {**overrides, **words}
    elif not isinstance(overrides, Sequence) or not all(isinstance(word, str) for word in overrides):
        raise GantoolError(f"{overrides!r} is no list of words: give one, such as gantool.train(['model=mlp'])")
    if "resume" in words or any(word.startswith("resume=") for word in overrides):
        raise GantoolError("resume= is for the command line only: hydra.run.dir=FOLDER continues the run in it")
    if words:
        listed = [] if isinstance(overrides, Mapping) else [*overrides]
        given = [*listed, *(f"{key}={as_typed(value)}" for key, value in words.items())]
        raise GantoolError(f"gantool.train takes a list of words: gantool.train({given})")
