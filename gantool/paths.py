"""Where gantool's own configuration lies and where it keeps what it has prepared."""

import os
from pathlib import Path

from gantool.errors import GantoolError

KEYS = ("run", "out", "source", "images", "latents", "root", "init", "dataset.root")  # that name a folder or file
KEYS += ("hydra.run.dir", "hydra.sweep.dir")


def conf_dir() -> Path:
    """The folder of the configuration: gantool/conf in a wheel, conf beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "conf", here.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError("gantool's conf folder is missing: install gantool again")


def expanded(path: str | Path) -> Path:
    """`path` with ~ as the home folder; as it is where there is no such home."""
    return Path(os.path.expanduser(path))


def outputs_dir() -> Path:
    """The folder for runs, as conf/gantool.yaml has it; GANTOOL_OUTPUTS moves it."""
    return expanded(os.environ.get("GANTOOL_OUTPUTS", "outputs"))


def settle_outputs() -> None:
    """Writes GANTOOL_OUTPUTS without ~, as the configuration reads it."""
    if "GANTOOL_OUTPUTS" in os.environ:
        os.environ["GANTOOL_OUTPUTS"] = str(outputs_dir())


def cache_dir() -> Path:
    """The folder for prepared data sets, statistics and weights; GANTOOL_CACHE moves it.

    Raises GantoolError where there is no such place.
    """
    folder = expanded(os.environ.get("GANTOOL_CACHE") or "~/.cache/gantool")
    if str(folder).startswith("~"):
        raise GantoolError("you have no home folder to keep prepared images in: set GANTOOL_CACHE=FOLDER")
    return folder
