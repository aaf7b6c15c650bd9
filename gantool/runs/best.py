"""The best job of a sweep: a line that trains it again, and a preset that can be chosen as experiment=best."""

import shlex
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from gantool.config.composed import choices, naming, own_folders
from gantool.files import write_whole
from gantool.paths import conf_dir
from gantool.runs.ranking import Ranking

PRESET = Path("experiment") / "best.yaml"  # below the sweep's folder
_OF_THE_SWEEP = ("study", "sweep_metric")


def tell_best(folder: Path, ranked: Ranking) -> list[str]:
    """Lines about the best job of the sweep in `folder`, and writes its preset; [] where none has a score."""
    if not (ranked.places and ranked.places[0].startswith("1")):
        return []
    best = ranked.results[0]
    overrides = OverridesParser.create().parse_overrides(list(best.words))
    last = {one.get_key_element(): one for one in overrides}.values()
    kept = [one for one in last if one.key_or_group.partition(".")[0] not in _OF_THE_SWEEP]
    folders = own_folders(folder / best.name)
    line = shlex.join(["gantool", "train", *naming(folders), *(str(one.input_line) for one in kept)])
    lines = [f"best: {best.name}", f"  {line}"]
    if not any(one.is_delete() for one in kept):
        (folder / PRESET).parent.mkdir(exist_ok=True)
        score = f"{ranked.metric} {best.metrics[ranked.metric or '']:.4g}"
        write_whole(folder / PRESET, preset(kept, folder / best.name, f"{score}, the best of {folder.name}: {line}"))
        lines.append(f"  {shlex.join(['gantool', 'train', *naming([str(folder), *folders]), 'experiment=best'])}")
    return lines


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
    lines = ["# @package _global_", f"# {about}"]
    if defaults:
        lines.append(yaml.safe_dump({"defaults": [*defaults, "_self_"]}, sort_keys=False).rstrip())
    return "\n".join([*lines, OmegaConf.to_yaml(values).rstrip() if values else ""]).rstrip() + "\n"
