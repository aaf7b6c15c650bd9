"""Words the errors of Hydra, OmegaConf and argparse as one line that names the fix."""

import re
import shlex
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from gantool.config.messages import known_keys
from gantool.config.signatures import PACKAGE
from gantool.errors import GantoolError, did_you_mean, name_too_long, out_of_memory
from gantool.paths import conf_dir, expanded

_COMPOSING = (("hydra", "_internal"), ("site-packages", "omegaconf"), ("core", "override_parser"))


def in_one_line(error: BaseException, *, in_job: bool = False) -> str | None:
    """The error as the user should see it, or None where only a traceback helps.

    `in_job`: it was raised by the command's own code, where an OmegaConf error is a bug of ours.
    """
    for cause in _chain(error):
        if isinstance(cause, GantoolError):
            return str(cause)
        if line := name_too_long(cause):
            return line
    if in_job:
        return out_of_memory(error) or _in_code_of_ones_own(error)
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, OverrideParseException):
        word = str(error.override).removeprefix("++")  # which cli.arguments adds
        if expanded(word).is_dir():
            return f"'{word}' is a folder: name a run as run={word}, or a run to go on with as resume={word}"
        return f"'{word}' cannot be read as key=value; quote values with spaces, commas or brackets"
    for cause in _chain(error):
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.key is not None:
            return _unknown_key(cause)
        if isinstance(cause, OmegaConfBaseException) and "Cannot merge DictConfig with ListConfig" in str(cause):
            is_list = str(error).splitlines()[0].endswith("]")  # Error merging override model.generator=[1]
            wanted, given = ("a group of keys", "a list") if is_list else ("a list", "a group of keys")
            return f"{cause.full_key}: should be {wanted}, not {given}"
        if isinstance(cause, OmegaConfBaseException):
            return f"{cause.full_key}: {str(cause.msg or cause).splitlines()[0]}"
        if isinstance(cause, yaml.MarkedYAMLError) and cause.problem_mark is not None:
            mark = cause.problem_mark
            return f"{mark.name}, line {mark.line + 1}: this is not YAML ({cause.problem})"
    if isinstance(error, HydraException | ValueError):
        return _other(str(error))
    if Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts[-3:-1] in _COMPOSING:
        return f"cannot be composed ({type(error).__name__}: {error}) (HYDRA_FULL_ERROR=1 shows all)"
    return None


def _in_code_of_ones_own(error: BaseException) -> str | None:
    """Where and what, if it was raised in a file of the user's: not gantool's, an installed package's or Python's."""
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if PACKAGE in path.parents:
            return None
        if path.is_file() and not any(folder in path.parents for folder in installed):
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            return f"{path.name}, line {frame.lineno}, {frame.name}: {what} (HYDRA_FULL_ERROR=1 shows all)"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _missing(error: MissingConfigException) -> str:
    wanted = str(error.missing_cfg_file)
    group, _, choice = wanted.rpartition("/")
    if not group:
        return str(error).splitlines()[0]
    choices = [option for option in error.options or () if option]
    if not choices:  # experiment=cifar10/dcgan: Hydra looks in one folder; score=[fid]: it does not say what there is
        group, _, choice = wanted.partition("/")
        folder = conf_dir() / group
        choices = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")]
    listed = ", ".join(sorted(choices)) or "none"
    for folder in sorted(path for path in Path().iterdir() if (path / group / f"{choice}.yaml").is_file()):
        return f"no '{choice}' in config group '{group}', but in {folder}: add --config-dir {folder}"
    hint, (top, _, place) = did_you_mean(choice, choices), wanted.partition("/")
    if top == "dataset" and (expanded(place).is_dir() or (place.endswith(".zip") and expanded(place).is_file())):
        group, choice = top, place
        hint = f" (did you mean dataset=folder {shlex.quote(f'dataset.root={place}')}?)"
    return f"no '{choice}' in config group '{group}'{hint}; choices: {listed}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    parent = error.parent_node
    siblings = OmegaConf.to_container(parent) if isinstance(parent, DictConfig) else {}
    assert isinstance(siblings, dict)
    return f"unknown key '{error.full_key}'{did_you_mean(str(error.key), known_keys(siblings))}"


def _other(message: str) -> str:
    first = message.splitlines()[0]
    if several := re.match(r"Ambiguous value for argument '(.+)'|Sweep parameters '(.+)' requires", first):
        override = (several[1] or several[2]).removeprefix("++")
        key, _, values = override.partition("=")
        list_hint = "" if "(" in values else f"; a list is written {key}=[{values}]"
        return f"{override}: several values need -m, which runs each{list_hint}"
    if unused := re.match(r"Could not override '([^']+)'\. No match in the defaults list", first):
        return f"nothing to override: '{unused[1]}' is not among the groups of this command"
    if lost := re.match(r"Error resolving interpolation '(.+)', possible interpolation keys: (.*)", first):
        wanted, there = re.findall(r"\$\{(\w+)\}", lost[1]), lost[2].split(", ")  # those that name recipes
        return next((f"{group} is missing" for group in wanted if group not in there), first)
    if clash := re.match(r"In '(.+)': \w+ raised while composing config:\s*(.*)", message):
        preset = clash[1].replace("/", "=", 1)  # the key it sets is not in Hydra's message
        listed = "; a list of choices is written defaults: [override /GROUP: LIST]" if "ListConfig" in clash[2] else ""
        wrong = f"sets keys of a part that another choice has replaced ({clash[2]})"
        return f"{preset} {wrong}: leave one of the two out{listed}"
    return first
