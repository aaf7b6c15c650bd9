"""A setting is never ignored: changing any key of any composed configuration changes the run, is refused in one line,
or stands here with the reason why it cannot show in a small run."""

import hashlib
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from composing import composed
from extent import ALL, some
from gantool.errors import GantoolError
from gantool.runs.start import train_run
from runs import TRANSLATORS, WIDTHS, choices, newest, two_sides
from unchanged import digest
from unseen_keys import reason

SMALL = ["trainer.batch_size=8", "trainer.duration=3it", "trainer.precision=fp32", "trainer.log_every=1it"]
SMALL += ["trainer.watchdog.every=1it", "trainer.checkpoint_seconds=1e-9", "trainer.channels_last=false"]
SEEN = [f"monitor.{name}.every=1it" for name in ("samples", "histograms", "labels", "codes", "scores")]
SEEN += ["monitor.scores.num=20"]
MLP = ["model=mlp", *WIDTHS["mlp"], "model.latent.dim=8", "dataset.resolution=8"]
KEYS = 4  # of a configuration, where not all are gone through
QUIET = ["score=none", "monitor=none", "trainer.watchdog.action=off"]

# What a key is changed to where its type does not tell.
OTHERS: dict[str, Any] = {
    "trainer.microbatch": 3,
    "trainer.generator_batch": 2.0,
    "trainer.precision": "bf16",
    "trainer.parallel": "sharded",
    "trainer.ema_buffers": "average",
    "trainer.duration": "2it",
    "trainer.watchdog.action": "off",
    "trainer.checkpoint_seconds": 1000.0,
    "init": "nowhere",
    "trainer.freeze": {"discriminator": 1},
    "trainer.stop": {"patience": 1},
    "trainer.target": {"fd_digits": 1e9},
    "trainer.time_limit": "0.001s",
    "trainer.keep_checkpoints": 1,
    **dict.fromkeys(("trainer.ema_half_life", "recipe.ema_half_life"), "1img"),
    "recipe.beta2": 0.5,
    "recipe.betas": [0.1, 0.5],
    "recipe.discriminator_norm": "layer",
    "recipe.pooling": "mean",
    "recipe.upsampling": "nearest",
    "recipe.r1_gamma": 0.3,
    "recipe.r1_gamma.end": 300.0,
    "dataset.channels": 3,
    "dataset.num_classes": 7,
    "dataset.side_by_side": True,
    "dataset.direction": "b2a",
    "dataset.shift": 2,
    "dataset.zoom": 1.5,
    "loss.constraint": {"_target_": "gantool.regularizers.WeightClip", "bound": 0.001},
    "loss.regularizers": {"drift": {"_target_": "gantool.regularizers.Drift", "weight": 1.0}},
    "loss.real_label": 0.8,
    "loss.top": 0.5,
    "loss.top.end": 0.9,
    "regularizer.consistency.transform.policy": ["color"],
    "optimizer.warmup": "3it",
    "optimizer.clip_norm": 1e-3,
    "optimizer.clip_value": 1e-5,
    "optimizer.beta2": 0.5,
    "optimizer.betas": [0.1, 0.5],
    "optimizer.eps": 0.1,
    "optimizer.momentum": 0.9,
    "optimizer.alpha": 0.1,
    "augment.policy": ["color"],
    "augment.target": 1.0,
    "augment.rise": "8img",
    "augment.interval": 2,
    "augment.probability": 0.9,
    "augment.until": 1.0,
    "model.generator.upsampling": "nearest",
    "model.discriminator.norm": "instance",
    "model.generator.norm": "layer",
    "model.generator.blocks": 2,
    "model.generator.dropout": 0.3,
    "model.discriminator.initialisation": "normal",
    "model.discriminator.pooling": "mean",
    "model.discriminator.images": 1,
    "model.discriminator.depth": 1,
    "model.growth.start": 8,
    "model.growth.growing": 0.9,
    "model.fake_labels": "uniform",
    "auxiliary.acgan.generator_weight": 0.1,
    "auxiliary.information.transform": {"_target_": "gantool.augment.Jitter"},
    "model.latent.categories": [3],
    "model.latent.noise": "uniform",
    "model.latent.noise_std": 0.1,
    "sweep_metric": "is_digits",
    "regularizer.l1.player": "generator",
    "regularizer.l2.player": "generator",
    "regularizer.orthogonal.player": "discriminator",
    "regularizer": {"l2": {"_target_": "gantool.regularizers.L2", "weight": 1.0}},
    "auxiliary": {"feature_matching": {"_target_": "gantool.auxiliaries.FeatureMatching"}},
    "augment": {"_target_": "gantool.augment.DiffAugment"},
}
OTHERS |= {"dataset.fit": "pad", "dataset.crop": 6, "dataset.range": [0.0, 100.0], "dataset.labels": "none"}
OTHERS |= {"dataset.vector_labels": True, "dataset.columns": ["kind"], "dataset.bits": 16, "dataset.resolution": 16}


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of every key that a user may change; groups without keys count as one."""
    if not isinstance(node, dict) or not node:
        yield path, node
        return
    for key, value in node.items():
        if str(key) not in ("_target_", "_partial_", "variant"):
            yield from leaves(value, f"{path}.{key}" if path else str(key))


def other(key: str, value: Any) -> Any:
    """Another value of a key."""
    if key in OTHERS:
        return OTHERS[key]
    if key.endswith((".until", "burn_in")):
        return 0.9
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.5 + 0.3
    if key.endswith("every"):
        return "2it"
    if isinstance(value, list) and value and all(isinstance(part, int | float) for part in value):
        return [value[0] + 1, *value[1:]]
    raise AssertionError(f"say in OTHERS what {key}={value} is to be changed to")


def outcome(cfg: DictConfig, hydra: DictConfig, folder: Path, typed: str | None = None) -> str:
    """A hash of all that a run leaves but its configuration and times; 'refused' for a mistake of the user's."""
    cfg, hydra = deepcopy(cfg), DictConfig(OmegaConf.to_container(hydra))  # Hydra's own is read-only
    hydra.overrides.task = [] if typed is None else [f"{typed}=0"]
    try:
        train_run(cfg, folder, hydra)
    except GantoolError as error:
        assert str(error).count("\n") == 0, f"not in one line: {error}"
        return "refused"
    state = newest(folder)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seen = [{k: v for k, v in line.items() if k != "time" and "speed/" not in k} for line in lines]
    files = {
        path.relative_to(folder).as_posix().split("-" if path.suffix == ".pt" else "\0")[0]: b""
        for path in folder.rglob("*")
        if ".hydra" not in path.parts and "tfevents" not in path.name
    }
    pictures = [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((folder / "samples").glob("*.png"))]
    events = [event for p in folder.glob("*tfevents*") for event in LegacyEventFileLoader(str(p)).Load()]
    tags = [(event.step, value.tag) for event in events for value in event.summary.value]
    parts = [state["game"], state["ema"], state["optimizers"], seen, sorted(files), pictures, tags]
    checkpoints = len(list((folder / "checkpoints").glob("[0-9]*.pt")))
    return digest([*parts, checkpoints])


def ignored(words: list[str], of: tuple[str, ...], folder: Path, others: dict[str, Any] | None = None) -> list[str]:
    """The keys that start with one of `of` and change nothing; `others` say what some are changed to here."""
    cfg, hydra = composed(*words)
    torch.set_num_threads(1)
    before = outcome(cfg, hydra, folder / "before")
    assert before != "refused"
    found, values = [], dict(leaves(OmegaConf.to_container(cfg, resolve=True)))
    for key in some([key for key in values if key.startswith(of) and not reason(key)], KEYS):
        changed = deepcopy(cfg)
        another = others[key] if others and key in others else other(key, values[key])
        OmegaConf.update(changed, key, another, force_add=True)
        if outcome(changed, hydra, folder / key, typed=key) == before:
            found.append(key)
    return found


def test_every_key_of_the_default_configuration_counts(in_tmp: Path) -> None:
    cfg, hydra = composed(*SMALL, *SEEN, *MLP)
    same = [outcome(cfg, hydra, in_tmp / name) for name in ("one", "two")]
    assert same[0] == same[1], "the comparison sees differences where there are none"
    assert ignored([*SMALL, *SEEN, *MLP], ("",), in_tmp) == []


# Choices without a key that the default configuration has not.
SAME_KEYS = ("non-saturating", "hinge", "lsgan", "minimax", "relativistic", "adam", "adamw", "constant")
GROUPS = [
    *(("loss.", f"loss={loss}") for loss in choices("loss") if loss not in SAME_KEYS),
    *(("optimizer.", f"optimizer={optimizer}") for optimizer in choices("optimizer") if optimizer not in SAME_KEYS),
    *(("optimizer.schedule.", f"optimizer/schedule={n}") for n in choices("optimizer/schedule") if n not in SAME_KEYS),
    ("loss.top.", "loss/top=decay"),
    *(("regularizer.", f"regularizer={name}") for name in choices("regularizer") if name != "lecam"),
    ("regularizer.", "regularizer=lecam regularizer.lecam.start=1"),
    ("regularizer.", "regularizer=[r1,r2] augment=diffaugment"),
    ("model.fake_labels", "model.conditional=true"),
    # p rises at once: with this seed the first scores of real images are above 0
    ("augment.", "augment=ada augment.rise=32img augment.interval=1 augment.target=-1 trainer.seed=1"),
    ("augment.", "augment=r3gan augment.probability.until=16img"),
    *(("augment.", f"augment={name}") for name in ("diffaugment", "instance-noise")),
    *(("model.latent.", f"model/latent={name}") for name in choices("model/latent") if name != "structured"),
    ("auxiliary.", "auxiliary=feature-matching"),
    ("auxiliary.", "auxiliary=acgan model.conditional=true ++model.discriminator.condition=none"),
    ("auxiliary.", "auxiliary=invariant-information model/latent=structured model.latent.dim=20"),
    ("auxiliary.", "auxiliary=information model/latent=structured model.latent.dim=20"),
    ("model.latent.", "auxiliary=information model/latent=structured model.latent.dim=20"),
]


@pytest.mark.parametrize(("of", "words"), some(GROUPS, 6), ids=some([words for _, words in GROUPS], 6))
def test_every_key_of_a_choice_counts(of: str, words: str, in_tmp: Path) -> None:
    keys = (of, "recipe.") if words in ("loss=wgan", "loss=r3gan") else (of,)
    assert ignored([*SMALL, *MLP, *QUIET, *words.split()], keys, in_tmp) == []


MODELS = [m for m in choices("model") if m not in ("mlp", "infogan", "infogan-mnist", *TRANSLATORS)]


@pytest.mark.parametrize("model", some(MODELS, 1))
def test_every_key_of_a_model_counts(model: str, in_tmp: Path) -> None:
    words = [*SMALL, *QUIET, f"model={model}", *WIDTHS[model], "trainer.batch_size=4", "trainer.duration=2it"]
    assert ignored([*words, "model.latent.dim=8"], ("model.",), in_tmp) == []


@pytest.mark.parametrize("model", TRANSLATORS if ALL else ["pix2pix"])
def test_every_key_of_a_translator_counts(model: str, in_tmp: Path) -> None:
    root = two_sides(in_tmp / "sides")
    others: dict[str, Any] = {f"dataset.{key}": str(root / folder) for key, folder in SIDES.items()}
    others |= {"dataset.channels": 1, "model.discriminator.norm": "none"}
    words = [*SMALL, f"model={model}", *WIDTHS[model], f"dataset.root={root}", "trainer.batch_size=4"]
    words += ["score=none", "monitor=[samples]", "trainer.watchdog.action=off", "trainer.ema_half_life=1img"]
    assert ignored([*words, "trainer.duration=1it"], ("model.", "dataset."), in_tmp, others) == []


SIDES = {"a": "trainB", "b": "trainA", "test_a": "testB", "test_b": "testA"}


def test_every_key_of_a_folder_counts(in_tmp: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 20, 3), np.uint8)
    for number, image in enumerate(pixels):
        folder = in_tmp / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    words = [*SMALL, *MLP, *QUIET, "dataset=folder", f"dataset.root={in_tmp / 'images'}", "model.conditional=true"]
    others = {"dataset.channels": 1, "dataset.split": "val"}
    assert ignored([*words, "dataset.resolution=8"], ("dataset.",), in_tmp, others) == []
