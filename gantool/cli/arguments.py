"""From the words after `gantool COMMAND` to what Hydra understands."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from gantool import beside
from gantool.config.composed import find_run, load_composed, own_folders, typed_words
from gantool.config.parts import nodes
from gantool.config.schema import Train
from gantool.errors import GantoolError, require
from gantool.folder import checkpoints_in
from gantool.paths import KEYS, conf_dir, expanded

_FLAGS_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir")
_FLAGS_WITH_VALUE += ("-cd", "--info", "-i", "--experimental-rerun", "--shell-completion", "-sc")

_SUBMITIT = ("slurm", "submitit")  # extra, module
LOOKS = {"--help", "-h", "--cfg", "-c", "--info", "-i", "-sc"}  # flags with which nothing is trained
_NODES = set(Train.model_fields) - {"recipe", "trainer", "init", "sweep_metric", "study"}  # keys: a class's arguments
_FREE = ("trainer.stop.", "trainer.target", "trainer.freeze")  # null by default


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags (with their values) and overrides: Hydra wants the overrides in one piece, users type `a=1 -m b=2`.

    Raises GantoolError for a flag that Hydra does not have, and for the one that unpickles a file.
    """
    flags, overrides = [], []
    for word in words:
        after_flag = bool(flags) and flags[-1] in _FLAGS_WITH_VALUE
        (flags if word.startswith("-") or (after_flag and "=" not in word) else overrides).append(word)
    if any(flag.startswith("--experimental-r") for flag in flags):
        raise GantoolError("--experimental-rerun unpickles a file, which can run any code: use resume=RUN_FOLDER")
    refusal = StringIO()
    try:
        with redirect_stderr(refusal):
            get_args_parser().parse_args(flags)
    except SystemExit as stop:
        if stop.code:
            reason = refusal.getvalue().strip().rpartition("error: ")[2]
            raise GantoolError(f"{reason}; --hydra-help lists the flags") from None
        raise
    return flags, overrides


def keep_secret(overrides: Sequence[str]) -> list[str]:
    """The overrides without the password of study.storage, which goes into the environment: Hydra writes overrides into
    files, and PostgreSQL's clients, those of the jobs too, look for it there."""
    kept = []
    for word in overrides:
        if found := re.match(r"(\W*study\.storage=['\"]?postgres\w*://[^:/@?]*):([^/?]*)(@.*)", word):
            os.environ["PGPASSWORD"] = unquote(found[2])
        kept.append(found[1] + found[3] if found else word)
    return kept


def is_sweep(flags: Sequence[str]) -> bool:
    """True with -m."""
    return "-m" in flags or "--multirun" in flags


def name_jobs_by_what_varies(overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep, and one more that keeps its constant ones out of the jobs' folder names."""
    constant = [f"'{override.key_or_group}'" for override in _parse(overrides) if not override.is_sweep_override()]
    return [*overrides, f"hydra.job.config.override_dirname.exclude_keys=[{','.join(constant)}]"]


def add_arguments(overrides: Sequence[str]) -> list[str]:
    """The overrides, where keys of nodes may be arguments of their class that no YAML file names, and trainer.target's
    are scores: Hydra would refuse them, while gantool compares every key with the class (config.parts)."""
    return [f"++{word}" if word.partition(".")[0] in _NODES or word.startswith(_FREE) else word for word in overrides]


def quote_paths(flags: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The overrides, where a path may hold what Hydra gives a meaning, spaces, commas, brackets and = among them. (In a
    sweep, a comma parts two values.) ~ at the start of a folder that Hydra makes is the home folder."""
    sweeps = is_sweep(flags)
    return [word if sweeps and "," in word else _quoted(word) for word in map(_at_home, overrides)]


def _at_home(word: str) -> str:
    key, _, value = word.partition("=")
    folder = key.lstrip("+") in ("hydra.run.dir", "hydra.sweep.dir") and value.startswith("~")
    return f"{key}={expanded(value)}" if folder else word


def _quoted(word: str) -> str:
    key, equals, value = word.partition("=")
    several = all(os.path.isfile(conf_dir() / key / f"{one}.yaml") for one in value.split(","))  # choices, no path
    is_path = key.lstrip("+") in KEYS or ("/" in value and not several)
    if (
        not (equals and is_path and value)
        or re.fullmatch(r"[\w./+-]*", value, re.ASCII)
        or value[0] in "'\"[{"
        or "${" in value
    ):
        return word
    return f"{key}={quoted(value)}"


def quoted(value: str) -> str:
    """`value` in Hydra's quotes, in which every character is itself."""
    inside = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), value)
    return f"'{inside}'"


def check_mode(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Raises GantoolError for a word of Hydra's that does nothing here: what belongs to a sweep without -m, a single
    run's folder with it, and the name of the job."""
    keys = {word.partition("=")[0].lstrip("+"): word for word in overrides}
    if word := keys.get("hydra.job.name"):
        raise GantoolError(f"{word}: hydra.job.name is the command's; leave it out")
    if LOOKS & {flag.partition("=")[0] for flag in flags} or any(word.startswith("hydra.mode=") for word in overrides):
        return
    if is_sweep(flags):
        if word := keys.get("hydra.run.dir"):
            raise GantoolError(f"{word} is for a single run: a sweep takes hydra.sweep.dir=FOLDER")
    elif word := next((keys[key] for key in keys if key.startswith("hydra.sweep.") or key == "hydra/launcher"), None):
        raise GantoolError(f"{word} belongs to a sweep: add -m, or leave it out")


def check_launcher(overrides: Sequence[str]) -> None:
    """Raises GantoolError where what the launcher needs is not installed."""
    extras = {"joblib": ("sweep", "joblib")} | dict.fromkeys(("slurm", "submitit_slurm", "submitit_local"), _SUBMITIT)
    for word in overrides:
        key, _, choice = word.partition("=")
        if key == "hydra/launcher" and choice in extras:
            require(*extras[choice], what=word)


def check_study(command: str, flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Raises GantoolError for a search that is none: without -m, its sweeper or gantool train."""
    chosen = [word for word in overrides if re.fullmatch(r"hydra/sweeper=['\"]?study['\"]?", word)]
    keys = [word for word in overrides if word.startswith("study.")]
    if keys and not chosen:
        raise GantoolError(f"{keys[0]} belongs to a search: add -m hydra/sweeper=study, or leave it out")
    if chosen and (command != "train" or not (is_sweep(flags) or LOOKS & set(flags))):
        raise GantoolError(f"hydra/sweeper=study searches with gantool train -m; this is gantool {command} without it")


def check_values(overrides: Sequence[str]) -> None:
    """Raises GantoolError for an empty value, and for a number where a group takes the name of a choice: trainer=3."""
    for override in _parse(overrides):
        if override.key_or_group in ("hydra.run.dir", "hydra.sweep.dir") and not override.is_sweep_override():
            text = str(override.value())
            if text in ("???", "None") or (os.path.exists(text) and not os.path.isdir(text)):
                raise GantoolError(f"{override.key_or_group}={text} is not a folder: name one")
        if override.value() == "" and not override.is_delete():
            raise GantoolError(
                f"{override.key_or_group}= has no value (was it a shell variable?): give it one, or leave it out"
            )
        if isinstance(override.value(), int | float) and (group := conf_dir() / override.key_or_group).is_dir():
            choices = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
            raise GantoolError(f"{override.input_line}: {group.name} is a group; choices: {choices}")


def reach_classes(overrides: Sequence[str]) -> None:
    """Lets Hydra find classes of the user's own that are typed for its nodes, as in
    +hydra.callbacks.mine._target_=mine.Callback; those of gantool's nodes are looked for when they are built."""
    for one in _parse(overrides):
        group, _, key = one.key_or_group.rpartition(".")
        if (group or key).partition(".")[0] == "hydra":
            for _, node in nodes({key: one.value()}):
                beside.reach(str(node["_target_"]))


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException:
        return []  # Hydra will refuse it in its place


def resume(flags: Sequence[str], overrides: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Config name, flags and overrides that compose again what is in the run folder of `resume=FOLDER`.

    trust=true takes the folder for the user's own. Raises GantoolError where the folder holds no run to continue or
    asks for what is not gantool's own, and for overrides that cannot be made on a run.
    """
    for key in ("resume=", "trust="):
        if len(typed := {word: None for word in overrides if word.startswith(key)}) > 1:
            raise GantoolError(f"{' and '.join(typed)}: give {key} once")
    run = expanded(next(word for word in overrides if word.startswith("resume=")).partition("=")[2])
    words = [word.partition("=")[2].lower() for word in overrides if word.startswith("trust=")]
    if not set(words) <= {"true", "false"}:
        raise GantoolError(f"trust={words[-1]}: true builds what is not gantool's own in {run}, false refuses it")
    cfg = _open_run(run, trusted=words[-1:] == ["true"])
    rest = [word for word in overrides if not word.startswith(("resume=", "trust="))]
    if any(flag in ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp") for flag in flags):
        raise GantoolError("resume= takes its configuration from the run: leave out --config-dir and --config-name")
    if is_sweep(flags):
        raise GantoolError("resume= continues one run: leave out -m")
    keys = {word: word.lstrip("+~").partition("=")[0].partition("@")[0] for word in rest}
    if "hydra.run.dir" in keys.values():
        raise GantoolError(f"resume={run} already names the run folder: leave out hydra.run.dir")
    groups = {word: key for word, key in keys.items() if (conf_dir() / key).is_dir() and not key.startswith("hydra")}
    if groups:
        raise GantoolError(_kept(groups, run))
    ConfigStore.instance().store(name="config", node=cfg)  # Hydra itself reads nothing in the folder
    return "resume", list(flags), [*rest, _quoted(f"hydra.run.dir={run.absolute()}")]


def _kept(groups: Mapping[str, str], run: Path) -> str:
    """Why these words, each with the group that it chooses for, are refused on a run that goes on, and the fix."""
    *others, last = dict.fromkeys(groups.values())
    told = f"{', '.join(others)} and {last}" if others else last
    scored = [word for word, group in groups.items() if group in ("score", "features") and word.startswith(group)]
    line = shlex.join(["gantool", "evaluate", f"run={run}", *scored])
    more = f"; {line} scores it as it is" if scored else ""
    return (
        f"{' '.join(groups)}: a run keeps its {told}, so that its weights, curves and scores stay of one kind; "
        f"change a key of it ({last}.KEY=VALUE) or start a new run{more}"
    )


def _open_run(run: Path, *, trusted: bool) -> DictConfig:
    if run.suffix == ".pt" and not run.is_dir():
        raise GantoolError(f"resume={run}: name the run folder, not a checkpoint in it")
    cfg = load_composed(find_run(run, "resume"), trusted=trusted)
    if not checkpoints_in(run):
        again = _own_command(run, trusted=trusted)
        raise GantoolError(f"resume={run} has no checkpoint to continue from: start it again with {again}")
    return cfg


def _own_command(run: Path, *, trusted: bool) -> str:
    """The line that the run began with, which goes on in the same folder, as far as it is safe to be pasted."""
    from gantool.sweeps.best import command_of  # takes long to import

    if not (run / ".hydra" / "overrides.yaml").is_file():
        return "its own command"
    try:
        line, _ = command_of(typed_words(run), own_folders(run), trusted=trusted)
    except GantoolError as reason:
        hidden = not (trusted or reason.__cause__)  # a cause: words that cannot be read
        return f"its own command, {reason}{'; trust=true shows it' if hidden else ''}"
    return f"{line} {shlex.quote(f'hydra.run.dir={run}')}"
