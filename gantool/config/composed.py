"""The composed configuration in a run's folder: .hydra/config.yaml, hydra.yaml and overrides.yaml."""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf, open_dict

from gantool import beside
from gantool.config import trust
from gantool.config.leaves import leaves
from gantool.config.parts import nodes
from gantool.config.read import resolve
from gantool.config.resolvers import targets
from gantool.config.schema import DATASET_OWNED, OPTIMIZER_OWNED, Train
from gantool.config.written import as_typed
from gantool.errors import GantoolError, did_you_mean, said
from gantool.files import read_plain, write_whole
from gantool.folder import is_run
from gantool.paths import conf_dir, expanded

_NODES = ("recipe", "trainer", "dataset", "loss", "optimizer")
_NAMED = 3  # runs
FORMAT = 1  # of config.yaml; counts up when a key comes to mean something else, not when one is added

_PLACE = re.compile(r"(.+_)?(root|folder|dir|path|file|weights)|(test_)?[ab]")  # keys that name a folder or file


def save_composed(cfg: DictConfig, run_dir: Path, hydra: HydraConf | DictConfig) -> None:
    """Writes `cfg` (unresolved, as composed) into `run_dir`/.hydra: what the run goes on with from now.

    hydra.yaml and overrides.yaml, from Hydra's own configuration, stay as they were when the run began.
    """
    folder = run_dir / ".hydra"
    folder.mkdir(parents=True, exist_ok=True)
    if not is_run(run_dir):
        write_whole(folder / "hydra.yaml", OmegaConf.to_yaml({"hydra": hydra}))
        typed = [word.removeprefix("++") for word in as_typed(hydra)]  # see cli.arguments.add_arguments
        write_whole(folder / "overrides.yaml", OmegaConf.to_yaml(typed))
    write_whole(folder / "config.yaml", f"format: {FORMAT}\n{OmegaConf.to_yaml(cfg)}")  # last: a run with it is whole


def without_hydra(whole: DictConfig) -> DictConfig:
    """gantool's part of what Hydra has composed, unresolved."""
    return OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])


def make_absolute(cfg: DictConfig) -> None:
    """Writes the folders and files that images and features are read from, and a study, with their whole path: a run
    that goes on in another working folder, or under another GANTOOL_DATA, finds the same ones."""
    plain = resolve(cfg)
    for path, node in nodes({group: plain.get(group) for group in ("dataset", "features")}):
        for key, value in node.items():
            if isinstance(value, str) and value and _PLACE.fullmatch(key) and "://" not in value:
                with open_dict(cfg):
                    OmegaConf.update(cfg, f"{path}.{key}", str(expanded(value).absolute()))
    storage = (plain.get("study") or {}).get("storage") or ""
    if storage.startswith("sqlite:///"):
        cfg.study.storage = f"sqlite:///{Path(storage.removeprefix('sqlite:///')).absolute()}"
    if isinstance(plain.get("init"), str) and expanded(plain["init"]).exists():  # else it may be on the Hub
        cfg.init = str(expanded(plain["init"]).absolute())


def choices(run_dir: Path) -> dict[str, str]:
    """The choice made in each group when the run in `run_dir` began, or the class that was typed over the choice's; {}
    where that cannot be read any more."""
    with suppress(GantoolError, AttributeError, KeyError, TypeError):
        chosen = _read(run_dir / ".hydra" / "hydra.yaml")["hydra"]["runtime"]["choices"]
        chosen = {str(group): choice for group, choice in chosen.items() if isinstance(choice, str)}
        return chosen | {group: name for group, name in targets(typed_words(run_dir)).items() if group in chosen}
    return {}


def target_of(run_dir: Path, group: str) -> str | None:
    """The class that the configuration in `run_dir` names for a group; None where it names none or cannot be read."""
    with suppress(GantoolError, KeyError, TypeError):
        target = _read(run_dir / ".hydra" / "config.yaml")[group]["_target_"]
        return target if isinstance(target, str) else None
    return None


def find_run(
    folder: str | Path, key: str = "run", otherwise: str = "is not a run folder: it has no .hydra/config.yaml"
) -> Path:
    """A run's folder as a path; raises GantoolError, which names `key` and says `otherwise`, where it is none."""
    path = expanded(folder)
    if not path.is_dir():
        siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
        raise GantoolError(f"{key}={folder}: no such folder{did_you_mean(path.name, siblings)}")
    if not is_run(path):
        raise GantoolError(f"{key}={folder} {otherwise}{_runs_in(path)}")
    return path


def _runs_in(folder: Path) -> str:
    """The newest runs in a folder of runs, or of a sweep, to be named in its place."""
    found = [path.parents[1] for depth in ("*", "*/*") for path in folder.glob(f"{depth}/.hydra/config.yaml")]
    newest = sorted(found, key=lambda run: run.stat().st_mtime, reverse=True)[:_NAMED]
    if not newest:
        return ""
    more = f"; gantool runs {shlex.quote(str(folder))} lists all {len(found)}" if len(found) > len(newest) else ""
    return f"; name one of those in it, such as {', '.join(map(str, newest))}{more}"


def typed_words(run_dir: Path) -> list[str]:
    """What was typed on the command line when the run began; [] where that cannot be read any more."""
    with suppress(GantoolError):
        words = _read(run_dir / ".hydra" / "overrides.yaml")
        return [str(word) for word in words] if isinstance(words, list) else []
    return []


def own_folders(run_dir: Path) -> list[str]:
    """The folders of YAML files beside gantool's own that the run in `run_dir` was composed from; [] where that cannot
    be read any more."""
    with suppress(GantoolError, KeyError, TypeError):
        return folders_of(_read(run_dir / ".hydra" / "hydra.yaml")["hydra"]["runtime"])
    return []


def folders_of(runtime: Mapping[str, Any]) -> list[str]:
    """The same by what Hydra tells of a command."""
    own = [one for one in runtime["config_sources"] if one["schema"] == "file" and one["provider"] != "main"]
    return [str(Path(runtime["cwd"], one["path"])) for one in own]


def naming(folders: Sequence[str]) -> list[str]:
    """The words by which a command composes from these folders too."""
    more = ",".join(f"'{folder}'" for folder in folders[1:])  # --config-dir is for one
    return [*(f"--config-dir={folder}" for folder in folders[:1]), *([f"hydra.searchpath=[{more}]"] if more else [])]


def _read(path: Path) -> Any:
    """A YAML file as plain containers, unresolved; raises GantoolError where it is not to be read."""
    try:
        return OmegaConf.to_container(OmegaConf.load(StringIO(read_plain(path).decode())))
    except Exception as error:  # PyYAML and OmegaConf raise a dozen kinds for bytes that are no YAML
        reason = said(error, 100)
        raise GantoolError(f"{path} cannot be read ({reason}): repair it, or use a copy of the run") from error


def load_composed(run_dir: Path, *, trusted: bool = False) -> DictConfig:
    """The configuration in a run's folder, unresolved; keys of gantool's own that came after it have their defaults.

    What it may ask for is in config.trust, unless the user has `trusted` it; it then fetches no data set to a folder
    of its own choice either. Raises GantoolError for more than that, and for a file that is damaged or of another
    version of gantool.
    """
    cfg = read_saved(run_dir)
    content = OmegaConf.to_container(cfg)
    if trusted:
        _check_at_hand(content, run_dir)
        return cfg
    trust.check(content, run_dir)
    trust.check_links(run_dir)
    return DictConfig(trust.fetching_nowhere_else(content))


def _check_at_hand(content: Any, run_dir: Path) -> None:
    """Raises GantoolError for a class in a file that is not in the folder that gantool was started in."""
    for path, node in nodes(content):
        if isinstance(name := node["_target_"], str) and (file := beside.missing(name)):
            began, hydra = "", run_dir / ".hydra" / "hydra.yaml"
            with suppress(GantoolError, KeyError, TypeError):
                began = f" (this run was started in {_read(hydra)['hydra']['runtime']['cwd']})"
            raise GantoolError(f"{path}._target_={name} cannot be used{beside.no_module(file)}{began}")


def read_saved(run_dir: Path) -> DictConfig:
    """What load_composed gives, whatever it asks for: to be looked at, neither resolved nor built."""
    path = run_dir / ".hydra" / "config.yaml"
    saved = _read(path)
    if not isinstance(saved, dict) or not isinstance(saved.get("model"), dict):
        raise GantoolError(f"{path} is damaged, as it names no model: take a copy of the run, or train anew")
    kinds = {key: saved.get(key, {}) for key in _NODES}
    if wrong := [key for key, node in kinds.items() if not isinstance(node, dict) and "${" not in str(node)]:
        raise GantoolError(
            f"{path} is damaged, as {wrong[0]} is not a group of keys: take a copy of the run, or train anew"
        )
    made = saved.pop("format", FORMAT)  # absent from the first ones of this format
    if "recipe" not in saved:
        raise GantoolError(
            f"{run_dir} was made by gantool 0.1, whose configuration this version does not read: use gantool 0.1 for "
            "it, or train anew in another folder"
        )
    if made != FORMAT:
        raise GantoolError(f"{run_dir} was made by a later version of gantool (format {repr(made)[:20]}): use that one")
    if strange := [key for key in saved if key not in Train.model_fields]:
        raise GantoolError(f"{path} has {strange[0]!r}, which is not a key of a run: take it out")
    saved.setdefault("logger", _read(conf_dir() / "logger" / "tensorboard.yaml"))  # all that there was before it
    return DictConfig(_merged(_defaults(), saved))


def common() -> dict[str, Any]:
    """conf/train.yaml: the keys of each group that it has whatever is chosen."""
    return _read(conf_dir() / "train.yaml")


@cache
def _defaults() -> dict[str, Any]:
    """What conf says of the keys that are gantool's own, whatever is chosen."""
    conf = common()
    kept = {"dataset": DATASET_OWNED, "optimizer": OPTIMIZER_OWNED}
    own = {group: {key: value for key, value in conf[group].items() if key in keys} for group, keys in kept.items()}
    others = ("recipe", "regularizer", "auxiliary", "score", "monitor", "logger", "init", "sweep_metric")
    own |= {key: conf[key] for key in others}
    return own | {"trainer": _read(conf_dir() / "trainer" / "default.yaml")}


def _merged(default: Any, value: Any) -> Any:
    if not isinstance(default, dict) or not isinstance(value, dict):
        return value
    return value | {key: _merged(child, value[key]) if key in value else child for key, child in default.items()}


def settings(run_dir: Path) -> dict[str, Any]:
    """Every setting of the run in `run_dir` by its full key, resolved; a ${...} that calls something stays text."""
    return leaves(resolve(DictConfig(_told(OmegaConf.to_container(read_saved(run_dir)), None))))


def changes(cfg: DictConfig, run_dir: Path) -> dict[str, tuple[Any, Any]]:
    """What differs between the configuration in `run_dir` and `cfg`: {key: (before, now)}, None where it is absent.

    Both are compared resolved, leaf by leaf. Empty where `run_dir` has no configuration yet.
    """
    if not is_run(run_dir):
        return {}
    saved, typed = OmegaConf.to_container(read_saved(run_dir)), OmegaConf.to_container(cfg)
    before, now = leaves(resolve(DictConfig(_told(saved, typed)))), leaves(resolve(cfg))
    return {key: (before.get(key), now.get(key)) for key in {**before, **now} if before.get(key) != now.get(key)}


def _told(saved: Any, typed: Any) -> Any:
    """`saved` to be resolved: a ${...} that calls something stays text unless the user's own configuration has it in
    the same place."""
    if isinstance(saved, dict):
        return {key: _told(v, typed.get(key) if isinstance(typed, dict) else None) for key, v in saved.items()}
    if isinstance(saved, list):
        return [_told(v, own) for v, own in zip_longest(saved, typed if isinstance(typed, list) else [])][: len(saved)]
    foreign = isinstance(saved, str) and not trust.is_harmless(saved) and saved != typed
    return saved.replace("${", "\\${") if foreign else saved
