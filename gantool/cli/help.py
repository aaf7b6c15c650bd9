"""gantool COMMAND --help: groups with their choices, and every key with what it is and its value on this line."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantool.config.comments import comments
from gantool.config.messages import as_typed
from gantool.config.options import CommandOptions
from gantool.config.parts import HANDED
from gantool.config.signatures import arguments
from gantool.errors import GantoolError
from gantool.paths import conf_dir

Row = tuple[str, str]  # what can be typed, and what it is
_WIDEST = 40  # characters of the first column
_TRAIN = """usage: gantool {command} [group=choice] [key=value] [-m] [flags]
       gantool {command} resume=RUN_FOLDER [trust=true] [key=value]"""
_BENCH = """usage: gantool {command} [group=choice] [key=value] [flags]
Times this training step against a plain PyTorch loop of the same networks; trains nothing, keeps no run."""
_TRAIN_FOOTER = """A sweep over several values: gantool {command} -m loss=hinge,lsgan trainer.seed=0,1
A search among settings:     gantool {command} -m hydra/sweeper=study 'optimizer.lr=tag(log,interval(1e-5,1e-1))'
                             loss=hinge,lsgan study.trials=40; its keys: gantool {command} hydra/sweeper=study --help
  both resume if repeated with the same hydra.sweep.dir; several processes can share the work
Several jobs at once:        hydra/launcher=joblib hydra.launcher.n_jobs=4, or hydra/launcher=slurm
Go on with a run:            gantool {command} resume=RUN_FOLDER trainer.duration=400kimg
  if it uses parts that are not gantool's own: trust=true, which runs the folder author's code on this machine
A new folder for the run:    gantool {command} hydra.run.dir=FOLDER
Hydra's own flags:           gantool {command} --hydra-help"""
_BENCH_FOOTER = "Hydra's own flags: gantool {command} --hydra-help"
# Arguments that data sets, monitors and trackers are handed, or that only gantool itself gives.
_HANDED = {*HANDED, "fitting", "key", "class_names", "metrics"}


def help_text(
    command: str, config_name: str, flags: Sequence[str], overrides: Sequence[str], kind: type[CommandOptions] | None
) -> str:
    """What is printed; `kind` declares the keys of a command, None has them in the YAML files of conf.

    Raises what Hydra and OmegaConf raise for words that do not compose.
    """
    args = get_args_parser().parse_args(list(flags))
    loader, name = _loader(args.config_dir), args.config_name or config_name
    words = list(overrides)
    cfg = loader.load_configuration(name, words, RunMode.RUN)
    HydraConfig.instance().set_config(cfg)  # what ${hydra:...} in a value looks into
    files = loader.compute_defaults_list(name, words, RunMode.RUN).defaults
    choices, texts = _chosen(cfg, loader, files), _comments(loader, files)
    rows = [row for key in cfg if key != "hydra" for row in _rows(cfg, str(key), texts)]
    if kind is None:
        groups = [*_groups(loader, choices, {}), *_users_groups(loader)]
        ends = (_BENCH, _BENCH_FOOTER) if command == "bench" else (_TRAIN, _TRAIN_FOOTER)
        top, footer = (text.format(command=command) for text in ends)
    else:
        about, _, footer = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
        top = f"usage: gantool {command} {kind.usage}\n{about}"
        said = {name: field.description or "" for name, field in kind.keys().items()}
        groups = [*_groups(loader, choices, said)]
        own = [row for name in said if name not in choices for row in _rows(cfg, name, said)]
        rows = own + [row for row in rows if row[0].partition(".")[0] in choices]
    chosen = _section("Groups (gantool list GROUP explains each choice)", groups) if groups else ""
    return "\n\n".join(filter(None, [top, chosen, _section("Keys [value in this command]", rows), footer]))


def _chosen(cfg: DictConfig, loader: ConfigLoaderImpl, files: Sequence[ResultDefault]) -> dict[str, Any]:
    """What is chosen in every group that can be overridden; Hydra leaves out those with a list of choices."""
    chosen = OmegaConf.to_container(cfg.hydra.runtime.choices)
    assert isinstance(chosen, dict)
    if not (own := {str(group): choice for group, choice in chosen.items() if not str(group).startswith("hydra/")}):
        return {}
    lists = [str(key) for key in cfg if key not in ("hydra", *own) and loader.repository.get_group_options(str(key))]
    paths = [str(file.config_path).partition("/") for file in files]
    chosen_of = {group: [choice for parent, _, choice in paths if parent == group] for group in lists}
    return dict(sorted({**chosen_of, **own}.items()))


def _loader(config_dir: str | None) -> ConfigLoaderImpl:
    """As hydra.main has it."""
    search_path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise GantoolError(f"Additional config directory '{folder}' not found")
        search_path.prepend("command-line", f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(config_search_path=search_path)


def _comments(loader: ConfigLoaderImpl, files: Sequence[ResultDefault]) -> dict[str, str]:
    """By full key, of all files that are composed. The first file that has a key declares it; what others say of it is
    about their value."""
    found: dict[str, str] = {}
    for entry in files:
        path = str(entry.config_path)
        source = next((s for s in loader.get_sources() if s.is_config(path)), None)
        if (
            source is not None
            and source.scheme() == "file"
            and (path == "hydra/sweeper/study" or not path.startswith("hydra/"))
        ):
            text = (Path(source.path) / f"{path.removesuffix('.yaml')}.yaml").read_text(encoding="utf-8")
            found = comments(text, entry.package or "") | found
    return found


def _rows(parent: DictConfig, key: str, texts: dict[str, str], prefix: str = "") -> Iterator[Row]:
    """A key and those below it. A node that is another's, loss: ${loss}, is one row; so is a node with a comment."""
    name, text = prefix + key, texts.get(prefix + key, "")
    if OmegaConf.is_missing(parent, key):
        yield name, f"{text} [???]".strip()
        return
    value: Any = parent[key]
    if isinstance(value, DictConfig) and OmegaConf.is_interpolation(parent, key):
        raw = OmegaConf.to_container(parent, resolve=False)
        assert isinstance(raw, dict)
        yield name, f"{text} [{raw[key]}]".strip()
    elif isinstance(value, DictConfig) and len(value):
        if text:
            yield name, text
        for inner in value:
            if str(inner) not in ("_partial_", "_convert_", "_recursive_"):
                yield from _rows(value, str(inner), texts, f"{name}.")
    else:
        plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        also = _also_takes(str(value), parent) if key == "_target_" else ""
        yield name, f"{text} [{as_typed(plain)}]{also}".strip()


def _also_takes(target: str, node: DictConfig) -> str:
    """The arguments of the class that the node leaves as they are."""
    left = {key: value for key, value in arguments(target).items() if key not in node and key not in _HANDED}
    values = {"None": "null", "True": "true", "False": "false"}
    listed = ", ".join(f"{key}={values.get(value, value.strip(chr(39)))}" for key, value in left.items())
    return f" takes also {listed}" if listed else ""


def _groups(loader: ConfigLoaderImpl, choices: dict[str, Any], texts: dict[str, str]) -> Iterator[Row]:
    for group, choice in choices.items():
        listed = ", ".join(_choices(loader, group.partition("@")[0]))
        text = f"{texts[group]}: {listed}" if texts.get(group) else listed
        yield group, f"{text} [{as_typed(choice)}]"


def _users_groups(loader: ConfigLoaderImpl, parent: str = "") -> Iterator[Row]:
    """Those that are not gantool's own."""
    for name in loader.repository.get_group_options(parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        if group != "hydra" and not group.startswith("experiment/"):
            if not (conf_dir() / group).is_dir():
                yield f"+{group}", ", ".join(_choices(loader, group))
            yield from _users_groups(loader, group)


def _choices(loader: ConfigLoaderImpl, group: str, prefix: str = "") -> list[str]:
    """Of a group; presets lie in folders: experiment=cifar10/dcgan."""
    found = [prefix + name for name in loader.repository.get_group_options(group, ObjectType.CONFIG)]
    if group.partition("/")[0] == "experiment":
        for folder in loader.repository.get_group_options(group, ObjectType.GROUP):
            found += _choices(loader, f"{group}/{folder}", f"{prefix}{folder}/")
    return found


def _section(title: str, rows: Sequence[Row]) -> str:
    width = min(max((len(name) for name, _ in rows), default=0), _WIDEST)
    return "\n".join([title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in rows)])
