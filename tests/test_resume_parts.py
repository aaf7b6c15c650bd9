"""A part with a state of its own can neither come nor go when a run goes on, which one line says."""

import inspect
from copy import deepcopy
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from composing import composed
from extent import ALL, some
from gantool.cli.main import main
from gantool.config import Written, save_composed
from gantool.config.trust import OPTIMIZERS
from gantool.errors import GantoolError
from gantool.runs.build import Setup, build_state, set_up
from gantool.runs.resuming import check_changes
from gantool.schedules import Constant
from gantool.training.optimization import PlayerOptimizer
from gantool.training.sound import Unsound, check_moments
from runs import WIDTHS, choices, newest, small, train, two_sides

LECAM = "{_target_: gantool.consistency.LeCam}"
PARTS = [f"regularizer={name}" for name in choices("regularizer")] if ALL else ["regularizer=lecam", "regularizer=cr"]
PARTS += [
    "regularizer=[lecam,l2]",
    f"++loss.regularizers={{mine: {LECAM}}}",
    "augment=ada",
    "auxiliary=feature-matching",
]
PARTS += [f"loss={name}" for name in choices("loss")] if ALL else ["loss=r3gan"]


@pytest.mark.parametrize("words", some(PARTS, 3))
def test_a_part_with_a_state_neither_comes_nor_goes(words: str, in_tmp: Path) -> None:
    setups = [set_up_plain(), set_up_plain(words)]
    for place, (before, now) in enumerate((setups, setups[::-1])):
        told, alike = verdict(in_tmp / str(place), before, now)
        assert told or alike
        assert "\n" not in told and (not told or words.partition("=")[0].lstrip("+") in told), told


Parts = tuple[Setup, DictConfig]


def set_up_plain(*words: str, model: str = "mlp") -> Parts:
    cfg, hydra = composed(f"model={model}", *WIDTHS[model], "score=none", "monitor=none", "trainer.device=cpu", *words)
    return set_up(cfg, Written()), hydra


def verdict(run: Path, before: Parts, now: Parts) -> tuple[str, bool]:
    """What is told of a run that was begun with the one and goes on with the other; whether their states are alike."""
    save_composed(before[0].cfg, run, before[1])
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "some.pt").touch()
    old, new = build_state(before[0], 5000), build_state(now[0], 5000)
    alike = old.game.state_dict().keys() == new.game.state_dict().keys()
    try:
        check_changes(now[0].cfg, run)
        new.check(old.state_dict())
    except GantoolError as error:
        assert not isinstance(error, Unsound), "it is sound"
        return str(error), alike
    return "", alike


ACGAN = "auxiliary=acgan model.conditional=true"
FOLLOWED = {
    (ACGAN, f"{ACGAN} auxiliary.acgan.weight=2 auxiliary.acgan.generator_weight=0.1"): "",
    (ACGAN, f"{ACGAN} auxiliary.acgan.real_only=true"): "with other auxiliaries: auxiliary.acgan.real_only cannot",
    ("", "augment=diffaugment"): "",
    ("augment=instance-noise", "augment=diffaugment"): "",
    ("augment=ada", "augment=diffaugment"): "with another augment, ",
    ("augment=diffaugment", "augment=ada"): "with another augment, ",
    ("", "optimizer=sgd"): "with another optimizer: optimizer._target_ cannot change",
    ("", "optimizer=sgd dataset.resolution=16"): "with other images and another optimizer: ",
    ("dataset=folder dataset.root=SIDES/trainA", "dataset=folder dataset.root=SIDES/trainA dataset.bits=16"): "",
    ("cyclegan", "cyclegan dataset.bits=8"): "",
    ("cyclegan", "cyclegan dataset.bits=16"): "dataset.bits cannot change",
}


@pytest.mark.parametrize(("before", "now"), some(FOLLOWED, 6))
def test_what_can_be_followed_is_and_the_rest_named(before: str, now: str, in_tmp: Path) -> None:
    setups = []
    for words in (before, now):
        model, *more = words.split() if words.startswith("cyclegan") else ("mlp", *words.split())
        more += ["dataset.root=SIDES"] if model == "cyclegan" else []
        more = [word.replace("SIDES", str(two_sides(in_tmp / "sides"))) for word in more]
        setups.append(set_up_plain(*more, model=model))
    told, _ = verdict(in_tmp / "run", *setups)
    assert FOLLOWED[before, now] in told and bool(told) == bool(FOLLOWED[before, now]) and "\n" not in told, told


def test_what_is_told_of_it(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = in_tmp / "run"
    train(run, "regularizer=lecam", model="mlp", rounds=2)
    for words in ([], ["regularizer=[lecam,l2]"]):
        capfd.readouterr()
        assert main(small(run, *words, model="mlp", rounds=4)) == (0 if words else 1)
        error = capfd.readouterr().err
        line = "it was trained with regularizer.lecam, whose own state cannot be added or removed: bring"
        assert words or (line in error and error.count("\n") == 1), error
    assert newest(run)["progress"]["rounds"] == 4


def player(name: str, settings: dict[str, Any]) -> PlayerOptimizer:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape)) for shape in ((4, 3, 3, 3), (5, 4), (5,))]
    make = partial(getattr(torch.optim, name), lr=0.01, **settings)
    return PlayerOptimizer(parameters, make, Constant())


def step(of: PlayerOptimizer, times: int) -> None:
    for _ in range(times):
        for parameter in of.parameters:
            parameter.grad = parameter.detach().sin()
        of.optimizer.step()


STEPPING = sorted({name.rpartition(".")[2] for name in OPTIMIZERS} - {"LBFGS", "SparseAdam"})  # not by gradients alone
SWITCHES: dict[str, dict[str, Any]] = {"amsgrad": {"amsgrad": True}, "centered": {"centered": True}}
SWITCHES |= {"momentum": {"momentum": 0.5}, "nothing": {}}


@pytest.mark.parametrize("name", STEPPING)
def test_an_optimizer_goes_on_or_says_why_not(name: str) -> None:
    """With the settings that it had, and with one more or less that changes what it remembers."""
    known = inspect.signature(getattr(torch.optim, name)).parameters
    kinds = [{}, *(words for key, words in SWITCHES.items() if key in known)]
    for before, now in product(kinds, kinds):
        old, new = player(name, before), player(name, now)
        step(old, 2)
        refused = False
        try:
            check_moments(old.state_dict(), new, "discriminator")
        except GantoolError as error:
            assert not isinstance(error, Unsound) and "the discriminator's needs" in str(error)
            refused = True
        assert not (refused and before == now)
        new.load_state_dict(deepcopy(old.state_dict()))
        for ours, theirs in zip(new.parameters, old.parameters, strict=True):
            ours.data.copy_(theirs.data)
        if refused:
            with pytest.raises(KeyError):
                step(new, 1)
            continue
        step(new, 2)
        step(old, 2)
        same = all(torch.equal(ours, theirs) for ours, theirs in zip(new.parameters, old.parameters, strict=True))
        assert same or before != now, (before, now)


@pytest.mark.parametrize("fused", [True, False])
def test_what_is_remembered_is_put_where_the_settings_of_now_want_it(fused: bool) -> None:
    """A fused step wants its count where the weights are: of a run that went on without."""
    old = player("Adam", {"fused": not fused})
    step(old, 2)
    weights = [nn.Parameter(torch.empty_like(parameter, device="meta")) for parameter in old.parameters]
    new = PlayerOptimizer(weights, partial(torch.optim.Adam, lr=0.02, fused=fused), Constant())
    new.load_state_dict(deepcopy(old.state_dict()))
    assert {kept["step"].device.type for kept in new.optimizer.state.values()} == {"meta" if fused else "cpu"}
    assert [(group["lr"], group["fused"]) for group in new.optimizer.param_groups] == [(0.02, fused)]
