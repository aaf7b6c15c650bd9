"""The watchdog on runs that go wrong on purpose and on healthy ones; and the way back, bit for bit."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from extent import some, thorough
from gantool.batch import Batch, Request
from gantool.cli.main import main
from gantool.game import Game, Progress
from gantool.logging.jsonl import read_metrics
from gantool.training.watchdog import Watchdog, pairs, separation, spread
from runs import newest, same, same_training, small, train
from test_contracts import Killed, stop_after

LOOKS = ["trainer.log_every=15it", "trainer.watchdog.every=15it", "monitor=none", "trainer.batch_size=32"]
LOOKS += ["model.generator.hidden=[64,64]", "model.discriminator.hidden=[64,64]", "model.latent.dim=16"]
# The rate rises from 1 by 8 a round, and numbers overflow in round 16.
EXPLODES = ["loss=lsgan", "optimizer.lr=1e9", "optimizer.warmup=1000Mimg", "trainer.watchdog.every=3it"]
EXPLODES += ["trainer.log_every=1it", "trainer.watchdog.patience=99", "trainer.watchdog.action=rollback"]
LOWER = "trainer.watchdog.rate_factor=1e-6"


def noticed(folder: Path) -> str:
    return "; ".join(json.loads((folder / "status.json").read_text()).get("watchdog", {}).get("noticed", []))


SICK = {
    "a generator that stands still": ("saturation", ["optimizer.generator.lr=1e-12", "loss=minimax"]),
    "rates a hundred times too high": ("watchdog at", ["optimizer.lr=0.05", "loss=hinge"]),  # whatever comes first
    "a critic without a bound": ("explosion", ["loss=wgan", "loss.constraint=null", "optimizer.lr=10"]),
}


@pytest.mark.parametrize(("sign", "words"), some(SICK.values(), 1), ids=some(SICK, 1))
def test_a_sick_run_is_noticed(in_tmp: Path, sign: str, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main(small(in_tmp / "run", *LOOKS, *words, model="mlp", rounds=240))
    told = capfd.readouterr()
    assert sign in noticed(in_tmp / "run"), noticed(in_tmp / "run")
    assert sign in told.out + told.err


def test_a_collapse_is_noticed(in_tmp: Path) -> None:
    """Of a run that went well until its generator's weights were made to decay."""
    words = [*LOOKS, "optimizer=adamw", "optimizer.generator.weight_decay=0"]
    train(in_tmp / "run", *words, model="mlp", rounds=120)
    assert noticed(in_tmp / "run") == ""
    again = ["optimizer.generator.weight_decay=300", "trainer.duration=210it"]
    assert main(["train", f"resume={in_tmp / 'run'}", *again]) == 0
    assert "collapse: samples of fixed latents are 0.0" in noticed(in_tmp / "run")


@pytest.mark.parametrize("loss", some(["non-saturating", "minimax", "lsgan", "hinge", "wgan", "wgan-gp"], 1))
def test_a_healthy_run_is_left_alone(in_tmp: Path, loss: str) -> None:
    train(in_tmp / "run", *LOOKS, f"loss={loss}", model="mlp", rounds=150)
    assert noticed(in_tmp / "run") == ""
    looks = [line["watchdog/diversity"] for line in read_metrics(in_tmp / "run") if "watchdog/diversity" in line]
    assert len(looks) == 10 and all(0 < look < 2 for look in looks)


@thorough
def test_stop_ends_the_run_where_it_was_well(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*LOOKS, "optimizer.generator.lr=1e-12", "trainer.watchdog.action=stop", "trainer.checkpoint_seconds=0.01"]
    assert main(small(in_tmp / "run", *words, model="mlp", rounds=200)) == 1
    error = capfd.readouterr().err
    assert "saturation" in error and "resume= continues from" in error and "Traceback" not in error
    status = json.loads((in_tmp / "run" / "status.json").read_text())
    assert status["state"] == "failed" and "saturation" in status["error"]
    assert list((in_tmp / "run" / "checkpoints").glob("*.abandoned"))
    again = ["train", f"resume={in_tmp / 'run'}", "trainer.duration=1it", "trainer.watchdog.action=warn"]
    assert main(again) == 0
    assert "is finished" in capfd.readouterr().out, "the state that was well is what a resume finds"


def test_a_breakdown_is_rolled_back_with_lower_rates(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved = train(in_tmp / "run", *EXPLODES, LOWER, model="mlp", rounds=20)
    told = capfd.readouterr()
    assert "rollback 1 of 2" in told.out + told.err and "rollback 1 of 2" in noticed(in_tmp / "run")
    assert saved["progress"]["rounds"] == 20 and saved["rate_factor"] == 1e-6 and saved["watch"]["rollbacks"] == 1
    assert all(value.isfinite().all() for value in saved["game"].values())
    lines = [line for line in read_metrics(in_tmp / "run") if "learning_rate/generator" in line]
    assert [line["rounds"] for line in lines] == list(range(1, 21)), "no point twice, none missing"
    assert lines[-1]["learning_rate/generator"] == pytest.approx(1e-6 * (19 * 8 + 1))
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.duration=22it"]) == 0
    assert newest(in_tmp / "run")["optimizers"]["generator"]["param_groups"][0]["lr"] == pytest.approx(1e-6 * 169)


@thorough
@pytest.mark.parametrize("rounds", [18, 10], ids=["after", "before"])
def test_a_run_killed_around_its_rollback_ends_bit_for_bit_the_same(in_tmp: Path, rounds: int, monkeypatch) -> None:
    whole = train(in_tmp / "whole", *EXPLODES, LOWER, model="mlp", rounds=20)
    stop_after(rounds, monkeypatch)
    with pytest.raises(Killed):
        train(in_tmp / "parts", *EXPLODES, LOWER, model="mlp", rounds=20)
    assert ("rollback" in noticed(in_tmp / "parts")) == (rounds == 18)
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    parts = train(in_tmp / "parts", *EXPLODES, LOWER, model="mlp", rounds=20)
    assert same_training(whole, parts) and whole["rate_factor"] == parts["rate_factor"] == 1e-6
    assert {**whole["watch"], "noticed": 0} == {**parts["watch"], "noticed": 0}


@pytest.mark.parametrize("every", some(["100it", "3it"], 1))
def test_rollbacks_are_bounded(every: str, in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*EXPLODES, "trainer.watchdog.rate_factor=0.99", f"trainer.watchdog.every={every}"]
    assert main(small(in_tmp / "run", *words, model="mlp", rounds=20)) == 1
    errors = capfd.readouterr()
    for factor in (0.99, 0.99**2):  # whether a good state was kept in between or not
        assert f"with learning rates times {factor:g} " in noticed(in_tmp / "run")
    assert "stopped after 2 rollbacks" in errors.err and "Traceback" not in errors.err
    assert json.loads((in_tmp / "run" / "status.json").read_text())["state"] == "failed"


def test_it_may_be_switched_off_and_changes_nothing(in_tmp: Path) -> None:
    off = train(in_tmp / "off", "trainer.watchdog.action=off", model="mlp")
    watched = train(in_tmp / "on", "trainer.watchdog.every=1it", "trainer.watchdog.action=rollback", model="mlp")
    assert same_training(off, watched) and not off["watch"] and watched["watch"]["best"] > 0
    assert not any("watchdog/diversity" in line for line in read_metrics(in_tmp / "off"))
    assert same(off["game"], watched["game"])


def test_spread_and_separation_are_what_they_say() -> None:
    images = torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    assert spread(images) == pytest.approx(2 * (1 + 2 + 3) / 3)  # a pixel's distance times the root of four pixels
    assert spread(images, torch.tensor([0, 0, 1])) == pytest.approx(2)
    assert math.isclose(spread(images[:1].expand(4, 1, 2, 2)), 0.0)
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.5])
    assert separation(real, fake) == 0.75 and separation(1000 * real, 1000 * fake) == 0.75
    scores = {"real_a": real, "fake_a": fake, "real_b": real, "fake_b": real, "other": real}
    assert set(pairs(scores)) == {"_a", "_b"} and pairs(scores)["_b"][1] is real


class Painter(Game):
    """Makes these images, of the contrasts that it is told."""

    def __init__(self, images: Tensor, contrasts: list[float]) -> None:
        super().__init__()
        self.images, self.contrasts = images, iter(contrasts)

    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        return self.images * next(self.contrasts)


def test_a_sign_must_last_and_is_told_once() -> None:
    told, kept, contrasts = [], [], [1.0, 0.4, 0.4, 0.4, 0.8, 0.7, 0.4, math.nan]
    measured: Any = SimpleNamespace(latest={}, latest_at=0, scores={})
    batch = Batch(torch.rand(4, 1, 2, 2))
    game = Painter(batch.images, contrasts)
    dog = Watchdog(
        batch,
        measured,
        {},
        patience=2,
        act=lambda text, progress: told.append((progress.nimg, text)),
        keep=lambda: kept.append(1),
    )
    for look in range(len(contrasts)):
        dog(game, nn.ModuleDict(), Progress(nimg=look))
        dog.end_look()
    assert [nimg for nimg, _ in told] == [2, 7] and len(kept) == 2, "samples that are not numbers are no better"
    assert " 0.40 times as diverse as real images, 1.00 at best, 2 checks in a row" in told[0][1]


def test_a_gradient_far_from_its_usual_size_is_an_explosion() -> None:
    told: list[str] = []
    measured: Any = SimpleNamespace(latest={}, latest_at=0, scores={})
    act = lambda text, progress: told.append(text)  # noqa: E731
    dog = Watchdog(Batch(torch.rand(4, 1, 2, 2)), measured, {}, patience=1, explosion=30, act=act)
    norms = [1.0, 50.0, 2.0, 1.5, 40.0, 61.0, 3.0, 2e6]  # of the first four nothing is known; usual is 1.75, then 2
    for norm in norms:
        measured.latest = {"gradient_norm/generator": norm, "loss/generator/total": 1e9}
        measured.latest_at += 1
        dog(Painter(torch.rand(4, 1, 2, 2), [1.0]), nn.ModuleDict(), Progress())
    name = "explosion: gradient_norm/generator is"
    assert told == [f"{name} 61, usually 2, 1 readings in a row", f"{name} 2e+06, 1 readings in a row"]


def test_what_was_measured_counts_once_however_often_it_is_looked_at() -> None:
    """Of readings that are each looked at three times one is a spike; from the first on scores are apart, ever more."""
    told, kept = [], []
    measured: Any = SimpleNamespace(latest={}, latest_at=0, scores={"real": torch.ones(4), "fake": torch.zeros(4)})
    act = lambda text, progress: told.append((progress.nimg, text))  # noqa: E731
    batch = Batch(torch.rand(4, 1, 2, 2))
    dog = Watchdog(batch, measured, {}, patience=3, act=act, keep=lambda: kept.append(measured.latest_at))
    for look in range(45):
        if look % 3 == 1:
            measured.latest_at += 1
            norm, scores = 50.0 if measured.latest_at == 5 else 1.0, {"real": 1 + measured.latest_at, "fake": 0.0}
            measured.latest = {f"discriminator_score/{side}": score for side, score in scores.items()}
            measured.latest |= {"gradient_norm/generator": norm}
        dog(Painter(batch.images, [1.0]), nn.ModuleDict(), Progress(nimg=look))
        dog.end_look()
    assert [(nimg, text.partition(":")[0]) for nimg, text in told] == [(19, "saturation")], "at the seventh reading"
    assert kept == [0, *(reading for reading in range(1, 5) for _ in range(3))], "no state in which a sign stands"
    assert "3 readings in a row" in told[0][1] and dog.memory["readings"] == 15
    older = {"looks": 7, "judged_at": measured.latest_at}
    assert Watchdog(batch, measured, older, act=act).memory["readings"] == 7, "what an earlier version called them"
