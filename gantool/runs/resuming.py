"""What is not as it was when a run goes on: told from what to what, and refused where its networks cannot follow."""

import logging
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pydantic import ValidationError

from gantool.config import Train, build, changes
from gantool.config.parts import find, nodes, parameters
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.folder import checkpoints_in
from gantool.game import Progress
from gantool.logging.protocol import way
from gantool.monitors.scores import Scores
from gantool.ranks import rank
from gantool.runs.build import Setup
from gantool.runs.scheduled import is_schedule
from gantool.training.state import State

log = logging.getLogger(__name__)

# A checkpoint holds the tensors of exactly these; everything else may change when a run goes on. Of other parts with a
# state, such as augmentations, State.check tells.
FIXED = {
    "model._target_": "other networks",
    "model.conditional": "other networks",
    "model.latent": "other networks",
    "model.generator": "other networks",
    "model.discriminator": "other networks",
    "model.pool_size": "another pool of earlier images",
    "auxiliary": "other auxiliaries",
    "dataset.direction": "other images",
    "dataset.resolution": "other images",
    "dataset.channels": "other images",
    "dataset.num_classes": "other images",
    "optimizer._target_": "another optimizer",
    "trainer.freeze": "other weights frozen",
    "init": "other initial weights",
}
_BITS = "dataset.bits"  # of the images too that a game keeps
_FOLLOWED = re.compile(r"auxiliary\.[^.]+\.\w*weight")  # of a term, not of a network
OWN = {f"gantool.schedules.{kind}" for kind in ("Constant", "Cosine", "Decay", "Delayed", "Linear", "Ramp", "Step")}


def check_changes(cfg: DictConfig, run_dir: Path) -> None:
    """Tells what `cfg` changes in a run that goes on; raises GantoolError for what its tensors cannot follow."""
    if not checkpoints_in(run_dir):
        return
    changed = changes(cfg, run_dir)
    refused = {key: FIXED[part] for key in changed for part in FIXED if key.startswith(part)}
    refused = {key: what for key, what in refused.items() if not _FOLLOWED.fullmatch(key)}
    bits = {number or 8 for number in changed.get(_BITS, ())}
    if len(bits) > 1 and "bits" in parameters(find(cfg.model._target_, "model")):
        refused[_BITS] = "images of another bit depth, some of which the checkpoint keeps"
    if refused:
        raise GantoolError(
            f"{run_dir} was trained with {' and '.join(dict.fromkeys(refused.values()))}: {', '.join(refused)} cannot "
            "change; leave them out, or start a new run in another hydra.run.dir"
        )
    for key, (before, now) in changed.items():
        log.info("changed: %s %s -> %s", key, before, now)


def record_of(image_set: ImageSet) -> dict[str, Any]:
    """What a checkpoint keeps of the images, to tell later whether they are the same."""
    record: dict[str, Any] = {"class_names": image_set.class_names, "rows": image_set.rows}
    if image_set.span is not None:
        record["span"] = image_set.span
    if (vectors := image_set.kept_vectors) is not None:
        record["vectors"] = vectors
    return record


def check_data(setup: Setup, run_dir: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Tells which images came and went since `before`, both as `record_of` gives them ({}: of a version that had none);
    raises GantoolError where labels moved that the networks are told."""
    if not before:
        return
    old, new = (record["rows"].tolist() for record in (before, now))
    names = list(zip(before["class_names"], now["class_names"], strict=False))
    if old == new and before["class_names"] == now["class_names"]:
        return
    here, there = (Counter(image for image, _ in rows) for rows in (new, old))
    added, removed = (here - there).total(), (there - here).total()
    if added or removed:
        _tell(f"the images {len(old)} -> {len(new)} ({added} added, {removed} removed)")
    known, found = _labels(old), _labels(new)
    moved = sum(image in known and not labels & known[image] for image, labels in found.items())
    places = {name: label for label, name in enumerate(before["class_names"])}
    swapped = any(places.get(name, label) != label for label, name in enumerate(now["class_names"]))
    renamed = ", ".join(f"class {label} {a} -> {b}" for label, (a, b) in enumerate(names) if a != b)
    if moved or swapped:
        what = "side" if setup.game.translates else "label"
        text = f"{moved} images have another {what} than {run_dir} was trained with{f' ({renamed})' if renamed else ''}"
        if setup.config.num_classes or setup.game.translates:
            raise GantoolError(f"{text}: bring the folders' names back, or start a new run in another hydra.run.dir")
        _tell(f"{text}; this model does not use labels")
    elif renamed:
        _tell(renamed)
    elif not (added or removed):
        _tell("the order of the images, as files were renamed: results will not be bit-identical")


def tell_jumps(setup: Setup, saved: dict[str, Any], total: int, num_images: int) -> None:
    """Tells, from what to what, each number that a schedule gives other than the `saved` run had at this position.

    `total` and `num_images` are the length of the run and of an epoch now.
    """
    progress, now = Progress(**saved["progress"]), setup.config
    try:
        before = Train.model_validate(saved["config"])
    except ValidationError:
        return  # of another version, whose keys are others
    count = len(saved["data"]["rows"]) if saved.get("data") else num_images
    # Not the saved one: that of a run which its scores ended is where it ended.
    length = replace(setup, config=before).images(before.trainer.duration, "trainer.duration", images_per_epoch=count)
    if length != total and before.trainer.duration == now.trainer.duration:
        _tell(f"the length of the run {length / 1000:g} kimg -> {total / 1000:g} kimg")
    # A checkpoint may be a stranger's: nothing is built of it that this run's own configuration does not name.
    known = {node["_target_"] for _, node in nodes(_plain(now))}
    old = _scheduled(replace(setup, config=before), replace(progress, total=length), count, known)
    new = _scheduled(setup, replace(progress, total=total), num_images, known)
    for key in [key for key in old if key in new and not math.isclose(old[key], new[key], rel_tol=1e-6)]:
        _tell(f"{key} at {progress.nimg / 1000:g} kimg {old[key]:.4g} -> {new[key]:.4g}")


def forget_other_scores(state: State, scores: Scores | None) -> None:
    """Forgets what came of scores that were measured in another way than `scores` will be, and tells of it."""
    told, names = (scores.how(), scores.scorer.names) if scores else ({}, [])
    if others := state.forget_other_scores({name: way(told, name) for name in names}):
        _tell(f"how {', '.join(others)} {'is' if len(others) == 1 else 'are'} measured: earlier values are forgotten")


def _tell(text: str) -> None:
    if rank() == 0:
        log.warning("changed: %s", text)


def _labels(rows: list[list[int]]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for image, label in rows:
        found.setdefault(image, set()).add(label)
    return found


def _plain(config: Train) -> dict[str, Any]:
    return config.model_dump(by_alias=True, exclude_unset=True)


def _scheduled(setup: Setup, progress: Progress, num_images: int, known: set[str]) -> dict[str, float]:
    """Every number that is a function of the position, by its key, as far as its parts are `known`."""
    config, found = setup.config, {}
    for path, node in nodes(_plain(config)):
        if not {part["_target_"] for _, part in nodes(node)} <= known | OWN:
            continue
        if path == "model.growth":
            growth = build(node, path, {"resolution": config.dataset.resolution})
            found["the stage of model.growth"] = growth.stage(progress)
        elif is_schedule(find(node["_target_"], path)):
            found[path] = build(node, path)(progress.nimg, progress.total)
    factor = found.pop("optimizer.schedule", None)
    if factor is None:
        return found
    warmup = setup.images(config.optimizer.warmup, "optimizer.warmup", images_per_epoch=num_images)
    factor *= min(1.0, (progress.nimg + 1) / warmup) if warmup else 1.0
    rates = {player: config.optimizer.of(player)["lr"] for player in setup.game.players}
    return {f"optimizer.{player}.lr": rate * factor for player, rate in rates.items()} | found
