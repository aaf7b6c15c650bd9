"""The composed configuration in a run's folder: .hydra/config.yaml, hydra.yaml and overrides.yaml."""

import re
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf, open_dict

from gantool.config.leaves import leaves
from gantool.config.parts import nodes
from gantool.config.read import resolve
from gantool.errors import GantoolError, did_you_mean
from gantool.files import write_whole

_PLACE = re.compile(r"(.+_)?(root|folder|dir|path|file|weights)|(test_)?[ab]")  # keys that name a folder or file


def save_composed(cfg: DictConfig, run_dir: Path, hydra: HydraConf | DictConfig) -> None:
    """Writes `cfg` (unresolved, as composed) into `run_dir`/.hydra: what the run goes on with from now.

    hydra.yaml and overrides.yaml, from Hydra's own configuration, stay as they were when the run began.
    """
    folder = run_dir / ".hydra"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.yaml").exists():
        write_whole(folder / "hydra.yaml", OmegaConf.to_yaml({"hydra": hydra}))
        typed = [str(word).removeprefix("++") for word in hydra.overrides.task]  # see cli.arguments.add_arguments
        write_whole(folder / "overrides.yaml", OmegaConf.to_yaml(typed))
    write_whole(folder / "config.yaml", OmegaConf.to_yaml(cfg))  # last: a run with it is whole


def make_absolute(cfg: DictConfig) -> None:
    """Writes the folders and files that images and features are read from with their whole path: a run that goes on in
    another working folder, or under another GANTOOL_DATA, finds the same ones."""
    plain = resolve(cfg)
    for path, node in nodes({group: plain.get(group) for group in ("dataset", "features")}):
        for key, value in node.items():
            if isinstance(value, str) and value and _PLACE.fullmatch(key) and "://" not in value:
                with open_dict(cfg):
                    OmegaConf.update(cfg, f"{path}.{key}", str(Path(value).expanduser().absolute()))


def choices(run_dir: Path) -> dict[str, str]:
    """The choice made in each group when the run in `run_dir` began."""
    hydra = OmegaConf.load(run_dir / ".hydra" / "hydra.yaml")
    return {str(group): choice for group, choice in hydra.hydra.runtime.choices.items() if isinstance(choice, str)}


def find_run(
    folder: str | Path, key: str = "run", otherwise: str = "is no run folder: it has no .hydra/config.yaml"
) -> Path:
    """A run's folder as a path; raises GantoolError, which names `key` and says `otherwise`, where it is none."""
    path = Path(folder).expanduser()
    if not path.is_dir():
        siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
        raise GantoolError(f"{key}={folder}: no such folder{did_you_mean(path.name, siblings)}")
    if not (path / ".hydra" / "config.yaml").is_file():
        raise GantoolError(f"{key}={folder} {otherwise}")
    return path


def load_composed(run_dir: Path) -> DictConfig:
    """The configuration in a run's folder; raises GantoolError for one of another version of gantool."""
    cfg = OmegaConf.load(run_dir / ".hydra" / "config.yaml")
    if not isinstance(cfg, DictConfig) or "recipe" not in cfg:
        raise GantoolError(
            f"{run_dir} was made by gantool 0.1, whose configuration this version does not read: use gantool 0.1 for "
            "it, or train anew in another folder"
        )
    return cfg


def changes(cfg: DictConfig, run_dir: Path) -> dict[str, tuple[Any, Any]]:
    """What differs between the configuration in `run_dir` and `cfg`: {key: (before, now)}, None where it is absent.

    Both are compared resolved, leaf by leaf. Empty where `run_dir` has no configuration yet.
    """
    saved = run_dir / ".hydra" / "config.yaml"
    if not saved.exists():
        return {}
    before, now = (leaves(OmegaConf.to_container(c, resolve=True)) for c in (load_composed(run_dir), cfg))
    return {key: (before.get(key), now.get(key)) for key in {**before, **now} if before.get(key) != now.get(key)}
