"""The best job of a sweep: a line that trains it again, and a preset that can be chosen as experiment=best."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantool.config import trust
from gantool.config.composed import choices, naming, own_folders
from gantool.errors import GantoolError
from gantool.files import write_whole
from gantool.paths import conf_dir
from gantool.screen import shown
from gantool.sweeps.jobs import spelling
from gantool.sweeps.ranking import Ranking

PRESET = Path("experiment") / "best.yaml"  # below the sweep's folder
_OF_THE_SWEEP = ("study", "sweep_metric")
_OF_RESUME = ("resume", "trust")  # no run keeps them


def tell_best(
    folder: Path,
    ranked: Ranking,
    typed: Sequence[str] = (),
    sources: Sequence[str] = (),
    *,
    write: bool = True,
    trusted: bool = False,
) -> list[str]:
    """Lines about the best job of the sweep in `folder`, and with `write` its preset; [] where none has a score.

    The user will paste them, and the job may be of whoever made the folder: it may ask for gantool's own parts, and for
    what the user has `typed` for this sweep, or composed it from (`sources`). For others there is one line, and no
    preset, unless the user has `trusted` the folder.
    """
    if not (ranked.places and ranked.places[0].startswith("1")):
        return []
    best, folders = ranked.results[0], own_folders(folder / ranked.results[0].name)
    try:
        line, kept = command_of(best.words, folders, typed, sources, trusted=trusted)
    except GantoolError as reason:
        hidden = not (write or trusted or reason.__cause__)  # a cause: words that cannot be read
        return [f"best: {best.name}, {reason}{'; trust=true shows the command' if hidden else ''}"]
    lines = [f"best: {best.name}", f"  {line}"]
    if not write or any(one.is_delete() for one in kept):
        return lines
    score = f"{ranked.metric} {best.metrics[ranked.metric or '']:.4g}"
    try:
        text = preset(kept, folder / best.name, f"{score}, the best of {folder.name}: {line}")
    except (OmegaConfBaseException, ValueError, TypeError):  # of words that nobody has typed, such as a=[1] a.b=2
        return lines
    (folder / PRESET).parent.mkdir(exist_ok=True)
    write_whole(folder / PRESET, text)
    return [*lines, f"  {shlex.join(['gantool', 'train', *naming([str(folder), *folders]), 'experiment=best'])}"]


def command_of(
    words: Sequence[str],
    folders: Sequence[str],
    typed: Sequence[str] = (),
    sources: Sequence[str] = (),
    *,
    trusted: bool = False,
) -> tuple[str, list[Override]]:
    """A line that trains again what was typed as `words` and composed from these `folders` too, and the words in it.

    The user will paste it, and the words may be somebody else's. Raises GantoolError, which goes on from the name of
    the run, where they ask for more than gantool's own parts and the user has neither `typed` it, composed from it
    (`sources`), nor `trusted` it.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise GantoolError("whose words in .hydra/overrides.yaml cannot be read") from error
    last = {one.get_key_element(): one for one in overrides}.values()
    kept = [one for one in last if one.key_or_group.partition(".")[0] not in _OF_THE_SWEEP]
    foreign = [*(place for place in folders if place not in sources), *_foreign(kept, typed)]
    if foreign and not trusted:
        asks = f"{repr(foreign[0])[:100]}, which is not gantool's own"
        raise GantoolError(f"which asks for {asks}: look at it before you train it again")
    return shlex.join(["gantool", "train", *naming(folders), *(str(one.input_line) for one in kept)]), kept


def _foreign(overrides: Sequence[Override], typed: Sequence[str]) -> Iterator[object]:
    """What somebody else's overrides ask for beside gantool's own parts; `typed`: what the user has, which is free."""
    own: set[tuple[str, str]] = set()
    for one in _parsed(typed):
        # A glob lists names of files, which Hydra alone can look up.
        listed = (one.is_choice_sweep() and not isinstance(one.value(), Glob)) or one.is_range_sweep()
        values = one.sweep_string_iterator() if listed else ()
        words = [f"{one.get_key_element()}={value}" for value in values] or [str(one.input_line)]
        own.update(map(spelling, OverridesParser.create().parse_overrides(words)))
    for one in overrides:
        key = one.key_or_group
        if spelling(one) in own:
            continue
        if key.startswith(("hydra", *_OF_RESUME)) or one.is_sweep_override():
            yield str(one.input_line)
        yield from (what for what, _ in trust.foreign({key.rpartition(".")[2]: one.value()}))


def _parsed(words: Sequence[str]) -> Iterator[Override]:
    """Those that Hydra can read: what a ${...} stands for may hold characters that have a meaning for it."""
    for word in words:
        with suppress(HydraException):
            yield OverridesParser.create().parse_override(word)


def preset(overrides: list[Override], job: Path, about: str) -> str:
    """An experiment's YAML that composes what these overrides did in the folder `job`."""
    known = choices(job)
    defaults: list[Any] = []
    values = OmegaConf.create()
    for one in overrides:
        key, value = one.key_or_group, one.value()
        place = key if one.package is None else f"{key}@{one.package}"
        if key == "experiment":
            defaults.insert(0, f"/experiment/{value}")
        elif place in known or (conf_dir() / key).is_dir():
            defaults.append({f"override /{place}": value})
        else:
            OmegaConf.update(values, key, value, force_add=True)
    lines = ["# @package _global_", f"# {' '.join(shown(about).splitlines())}"]
    if defaults:
        lines.append(yaml.safe_dump({"defaults": [*defaults, "_self_"]}, sort_keys=False).rstrip())
    return "\n".join([*lines, OmegaConf.to_yaml(values).rstrip() if values else ""]).rstrip() + "\n"
