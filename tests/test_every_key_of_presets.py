"""What a preset sets hides nothing that a user types: every key typed over it reaches the code, or is refused."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from composing import composed
from extent import some
from gantool.config import Written, read
from gantool.config.schema import OPTIMIZER_OWNED
from gantool.errors import GantoolError
from presets import PRESETS
from runs import WIDTHS
from test_every_key import QUIET, SMALL, ignored, leaves, other
from unseen_keys import REASONS

GROUPS = ("recipe.", "optimizer.", "trainer.")  # where keys stand that others may hide
ALONE = {"max_rollbacks": 0, "rate_factor": 0}  # read for a rollback alone
TYPED = {"model.reuse_fakes": True, "recipe.discriminator_norm": "none", "features.weights": "elsewhere"}
TYPED |= {key: [0.0, 0.7] for key in ("recipe.betas", "optimizer.betas")}
TYPED |= {"trainer.watchdog.action": "stop", "trainer.watchdog.rate_factor": 0.7}
OVER = [  # what a preset may set or choose
    ["optimizer.generator.lr=1e-3", "optimizer.discriminator.lr=1e-3"],
    ["++optimizer.generator.betas=[0,0.9]", "++optimizer.discriminator.betas=[0,0.9]"],
    ["trainer.generator_batch=1", "trainer.watchdog.action=rollback"],
    ["trainer.watchdog.action=off", "score=none", "features=inception"],
    ["optimizer=sgd", "loss=r3gan"],
    ["optimizer=rmsprop", "loss=r3gan", "augment=none"],
    ["optimizer/schedule=burn-in", "model=resnet"],
    ["model=biggan", "loss=r3gan", "optimizer=adam"],
]


def another(key: str, value: Any) -> Any:
    """Another value of a key, or the same where it has that one."""
    return "1img" if isinstance(value, str) and value[0].isdigit() else other(key, value)


@cache
def configuration(*words: str) -> DictConfig:
    return composed(*words, "++dataset.root=nowhere")[0]  # where nothing here looks


def received(cfg: DictConfig, typed: str | None = None) -> Any:
    """What the code reads of a configuration in which a key was typed."""
    config = read(cfg, Written(frozenset([typed] if typed else [])))
    found = json.loads(config.model_dump_json(by_alias=True, exclude={"recipe"}))
    players = {player: config.optimizer.of(player) for player in ("generator", "discriminator")}
    found["optimizer"] = {key: found["optimizer"].get(key) for key in OPTIMIZER_OWNED} | players
    for own in players.values() if config.optimizer.beta2 is not None else ():
        own["betas"] = own["betas"][:1]
    watchdog = found["trainer"]["watchdog"]
    if watchdog["action"] != "rollback":
        found["trainer"]["watchdog"] = {"action": "off"} if watchdog["action"] == "off" else watchdog | ALONE
    if found["trainer"]["generator_batch"]:
        found["model"].pop("reuse_fakes", None)
    if not found["score"]:
        del found["features"], found["monitor"]["scores"]
    return found


CHOSEN = [*([f"experiment={preset}"] for preset in PRESETS), *OVER]


@pytest.mark.parametrize("words", some(CHOSEN, 7), ids=" ".join)
def test_a_key_typed_over_what_is_chosen_is_received_or_refused(words: list[str]) -> None:
    values = dict(leaves(OmegaConf.to_container(configuration(*words), resolve=True)))
    keys = [key for key, value in values.items() if key.startswith(GROUPS) and value is not None]
    typed = {key: another(key, values[key]) for key in keys if key not in REASONS}
    typed |= {key: value for key, value in TYPED.items() if key in values or not key.startswith("features")}
    before, hidden = received(configuration(*words)), []
    for key, value in typed.items():
        cfg = deepcopy(configuration(*words))
        OmegaConf.update(cfg, key, value, force_add=True)
        try:
            if received(cfg, key) == before and values.get(key) != value:
                hidden.append(key)
        except GantoolError as refused:
            assert "\n" not in str(refused), refused
    assert hidden == []


@pytest.mark.parametrize(
    ("preset", "model", "of"),
    [
        ("mnist/infogan", "infogan-mnist", ("optimizer.lr", "recipe.lr")),
        ("cifar10/sngan", "resnet", ("model.reuse_fakes", "optimizer.lr")),
    ],
)
def test_a_key_typed_over_a_preset_changes_the_run(preset: str, model: str, of: tuple[str, ...], in_tmp: Path) -> None:
    words = [f"experiment={preset}", "dataset=mnist-5k", *WIDTHS[model], *SMALL, *QUIET, "trainer.batch_size=4"]
    assert ignored([*words, "trainer.duration=1it", "++model.reuse_fakes=false"], of, in_tmp) == []
