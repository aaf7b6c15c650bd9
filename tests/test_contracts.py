"""The contracts of the design, over everything in conf: it trains, resumes bit for bit, and monitors change nothing."""

import math
from itertools import product
from pathlib import Path

import pytest

from gantool.training import loop, update
from runs import choices, newest, same, same_training, train

BASIC = ("dcgan", "mlp")
ZOO = [model for model in choices("model") if model not in BASIC]
# Every loss on the two basic models; the others under their own loss, a margin, and a gradient penalty.
COMBINATIONS = [*product(BASIC, choices("loss")), *product(ZOO, ("own", "hinge", "wgan-gp"))]


@pytest.mark.parametrize(("model", "loss"), COMBINATIONS, ids=lambda part: part)
def test_every_model_and_loss_trains_and_resumes_exactly(in_tmp: Path, model: str, loss: str, monkeypatch) -> None:
    words = [] if loss == "own" else [f"loss={loss}"]
    whole = train(in_tmp / "whole", *words, model=model, rounds=4)
    if model == "progan":  # grows by fractions of the run: its length has to stay
        stop_after(2, monkeypatch)
        with pytest.raises(Killed):
            train(in_tmp / "parts", *words, model=model, rounds=4)
        monkeypatch.undo()
        monkeypatch.chdir(in_tmp)
    else:
        train(in_tmp / "parts", *words, model=model, rounds=2)
    parts = train(in_tmp / "parts", *words, model=model, rounds=4)
    assert same_training(whole, parts)
    assert all(value.isfinite().all() for value in whole["game"].values())
    n_critic = whole["config"]["loss"]["n_critic"]
    assert whole["progress"]["nimg"] == 4 * 8 * n_critic
    steps = {n: max(int(p["step"]) for p in o["state"].values()) for n, o in whole["optimizers"].items()}
    assert steps == {"discriminator": 4 * n_critic, "generator": 4}


PARTS = [
    *(f"optimizer={name}" for name in choices("optimizer")),
    *(f"optimizer/schedule={name}" for name in choices("optimizer/schedule")),
    *(f"augment={name}" for name in choices("augment")),
    *(f"model/latent={name}" for name in choices("model/latent") if name != "structured"),
    *(f"auxiliary={name}" for name in choices("auxiliary") if name == "feature-matching"),
    *(f"regularizer={name} model.discriminator.norm=layer" for name in choices("regularizer")),
    "regularizer=[r1,r2,l2] model.discriminator.norm=none regularizer.r1.every=2 trainer.microbatch=3",
    "model.conditional=true",
    "model.conditional=true model.discriminator.condition=concat model.generator.norm=instance",
    "model.generator.attention=16 model.discriminator.attention=8",
    "dataset.shift=2 dataset.rotation=10 dataset.flip=true",
    "optimizer.warmup=3it optimizer.clip_norm=0.1 optimizer.clip_value=0.01 optimizer.generator.lr=1e-3",
    "trainer.precision=bf16 trainer.deterministic=true loss=wgan-gp",
    "optimizer/schedule=cosine trainer.channels_last=false model.generator.norm=spectral",
]


@pytest.mark.parametrize("part", PARTS)
def test_every_other_part_trains_and_resumes_exactly(in_tmp: Path, part: str, monkeypatch) -> None:
    words = part.split()
    whole = train(in_tmp / "whole", *words, rounds=4)
    stop_after(2, monkeypatch)
    with pytest.raises(Killed):  # the schedule's end stays where it was, as it does when a process is killed
        train(in_tmp / "parts", *words, rounds=4)
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    parts = train(in_tmp / "parts", *words, rounds=4)
    assert same_training(whole, parts)
    assert same_training(whole, train(in_tmp / "again", *words, rounds=4)), "a run is a function of its configuration"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def stop_after(rounds: int, monkeypatch) -> None:
    """Lets the process die at the start of a round, with a checkpoint after every one."""

    def average(game) -> None:
        average.left -= 1
        if average.left < 0:
            raise Killed

    average.left = rounds
    monkeypatch.setattr(loop, "average_buffers", average)
    monkeypatch.setattr("gantool.training.recorder.time.monotonic", iter(range(0, 10**6, 1000)).__next__)


def test_control_without_seeding_a_resumed_run_differs(in_tmp: Path, monkeypatch) -> None:
    monkeypatch.setattr(update, "seed_torch", lambda *position: None)
    monkeypatch.setattr(loop, "seed_everything", lambda *position: None)
    whole = train(in_tmp / "whole", rounds=4)
    train(in_tmp / "parts", rounds=2)
    assert not same_training(whole, train(in_tmp / "parts", rounds=4))


@pytest.mark.parametrize("model", choices("model"))
def test_monitors_change_nothing(in_tmp: Path, model: str) -> None:
    every = ["trainer.log_every=1it", "trainer.sample_every=1it", "trainer.histogram_every=1it"]
    score = ["metrics=digits", "metrics.every=1it", "metrics.num_samples=60", "metrics.batch_size=30"]
    spectral = ["model.discriminator.norm=spectral"] if model in BASIC else []  # a forward in training mode moves it
    watched = train(in_tmp / "watched", *every, *score, *spectral, model=model)
    rarely = ["trainer.log_every=1Mimg", "trainer.sample_every=1Mimg", "trainer.histogram_every=1Mimg"]
    alone = train(in_tmp / "alone", *rarely, *spectral, model=model)
    assert same_training(watched, alone)
    assert not alone["metrics"]
    assert watched["metrics"].keys() >= {"fd_digits", "is_digits"}
    assert math.isfinite(watched["best"]["value"])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_changes_the_run(in_tmp: Path, seed: int) -> None:
    assert not same_training(train(in_tmp / "0"), train(in_tmp / "1", f"trainer.seed={seed}"))


def test_microbatches_give_the_same_step(in_tmp: Path) -> None:
    """Up to the order of sums; networks without batch norm, and every source of randomness."""
    words = ["loss=wgan-gp", "augment=diffaugment", "model.generator.norm=layer", "dataset.shift=2"]
    whole = train(in_tmp / "whole", *words, rounds=1)
    parts = train(in_tmp / "parts", *words, "trainer.microbatch=3", rounds=1)
    for name, value in whole["optimizers"]["discriminator"]["state"].items():
        gradient, other = value["exp_avg"], parts["optimizers"]["discriminator"]["state"][name]["exp_avg"]
        assert (gradient - other).norm() <= 1e-4 * gradient.norm() + 1e-9


def test_a_checkpoint_holds_the_whole_configuration(in_tmp: Path) -> None:
    state = train(in_tmp / "run", "optimizer.lr=3e-4")
    assert state["config"]["optimizer"]["generator"]["lr"] == 3e-4
    assert same(state, newest(in_tmp / "run"))
