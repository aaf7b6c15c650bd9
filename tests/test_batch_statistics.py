"""Batch norm of the averaged generator: statistics of training, copied or averaged, or standing ones."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import gantool
from extent import some, thorough
from gantool.batch import Draws, Request
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.game import Progress
from gantool.games.gan import GAN
from gantool.logging.grid import save_png
from gantool.randomness import seed_torch
from gantool.runs.trained import TrainedRun, load_run
from gantool.training.ema import EMA
from runs import Composed, same, same_training, small, train

SCORED = ["score=[fd]", "monitor=scores", "monitor.scores.num=20", "monitor.scores.every=1it"]
WORDS = ["model.conditional=true", "optimizer.lr=0.01", "model.generator.hidden=[16,16,16]"]


class Grown(nn.Module):
    """Batch norm beside buffers of other kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = nn.BatchNorm1d(3), spectral_norm(nn.Linear(3, 2))
        self.register_buffer("stage", torch.zeros(()))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layer(self.norm(z))


def test_statistics_are_averaged_like_weights_and_nothing_else_is() -> None:
    torch.manual_seed(0)
    live = nn.ModuleDict({"generator": Grown()})
    average, copied = EMA(live, 40, average_buffers=True), EMA(live, 40)
    expected = {name: value.clone() for name, value in live.named_buffers()}
    for nimg in range(1010, 1060, 10):
        live["generator"](3 * torch.randn(8, 3) + 2)
        live["generator"].get_buffer("stage").add_(0.5)
        for ema in (average, copied):
            ema.update(live, Progress(nimg=nimg, previous=nimg - 10, total=2000))
        for name, value in live.named_buffers():
            weight = 0.5 ** (10 / 40) if "running" in name else 0.0
            expected[name] = (weight * expected[name] + (1 - weight) * value).to(value.dtype)
    found = dict(average.generators.named_buffers())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)
    assert found["generator.norm.num_batches_tracked"].item() == 5
    assert not torch.equal(found["generator.norm.running_var"], live["generator"].get_buffer("norm.running_var"))
    assert same(dict(copied.generators.named_buffers()), dict(live.named_buffers()))
    with pytest.raises(GantoolError, match="ema_buffers=average: this generator has no batch norm"):
        EMA(nn.ModuleDict({"generator": nn.Linear(1, 1)}), 40, average_buffers=True)


@thorough
def test_averaged_statistics_resume_exactly_and_leave_the_training_alone(in_tmp: Path) -> None:
    run = Composed(in_tmp, "trainer.ema_buffers=average", "model.generator.norm=batch")
    whole = run.train("whole")
    run.train("parts", rounds=2)
    assert same_training(whole, run.train("parts"))
    run.cfg.trainer.ema_buffers = "copy"
    copied = run.train("copied")
    assert same(whole["game"], copied["game"])
    differ = {name for name, value in whole["ema"].items() if not torch.equal(value, copied["ema"][name])}
    assert differ and all(name.endswith(("running_mean", "running_var")) for name in differ)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run by class that was scored with the standing statistics of two passes."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANTOOL_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        train(folder / "run", *WORDS, *SCORED, "monitor.scores.standing_statistics=2", model="mlp", rounds=2)
        yield folder / "run"


@pytest.mark.parametrize("truncation", [None, 0.5])
def test_standing_statistics_are_the_mean_of_every_pass(run: Path, truncation: float | None) -> None:
    opened = load_run(run, device="cpu")
    standing = opened.standing(3, seed=5, truncation=truncation)
    network = copy.deepcopy(opened.generators).train()
    norms = {name: part for name, part in network.named_modules() if isinstance(part, nn.BatchNorm1d)}
    for norm in norms.values():
        norm.momentum = 1.0  # each pass leaves its own statistics
    sums: dict[str, torch.Tensor] = {}
    for number in range(3):
        seed_torch("standing", 5, number)
        draws = Draws(100, opened.device)
        with torch.no_grad():
            opened.game.sample(Request(draws, draws.randint(10), truncation=truncation), network)
        for name, norm in norms.items():
            for kind, value in (("running_mean", norm.running_mean), ("running_var", norm.running_var)):
                assert value is not None
                sums[f"{name}.{kind}"] = sums.get(f"{name}.{kind}", torch.zeros(())) + value / 3
    assert len(norms) > 1
    for name, value in sums.items():
        torch.testing.assert_close(standing.get_buffer(name), value, msg=name)
        assert not torch.allclose(opened.generators.get_buffer(name), value), "the run's own stay as they were"
    assert not any(part.training for part in standing.modules())
    assert all(torch.equal(a, b) for a, b in zip(standing.parameters(), opened.generators.parameters(), strict=True))


def sampled(run: Path, out: str, *words: str) -> np.ndarray:
    assert main(["sample", f"run={run}", "num=20", "format=npz", f"out={run.parent / out}", *words]) == 0
    with np.load(run.parent / out / "samples.npz") as archive:
        return archive["arr_0"].astype(int)


def test_sample_makes_what_training_scored_unless_told_otherwise(run: Path) -> None:
    as_scored = sampled(run, "a")
    assert (as_scored == sampled(run, "b", "standing_statistics=2")).all()
    assert np.abs(as_scored - sampled(run, "c", "batch_size=7")).max() <= 1
    of_training = sampled(run, "d", "standing_statistics=0")
    assert (as_scored != of_training).any() and (as_scored != sampled(run, "e", "standing_statistics=5")).any()
    assert (load_run(run, device="cpu").sample(20)[:, 0].numpy() == as_scored[..., 0]).all()


def test_evaluate_scores_as_training_did_and_says_how(run: Path) -> None:
    line = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines() if "metrics/" in line][-1]
    assert line["protocol"]["standing_statistics"] == 2
    found = {}
    for passes in ("null", "0"):
        assert main(["evaluate", f"run={run}", "score=fd", f"standing_statistics={passes}"]) == 0
    for path in (run / "evaluated").rglob("*.json"):
        told = json.loads(path.read_text())
        found[told["protocol"]["standing_statistics"]] = told["scores"]["fd_digits"]
    assert found[2] == line["metrics/fd_digits"] != found[0]
    words = ["num=20", "plot=false", "thresholds=[0.5,null]", f"out={run.parent / 'curve'}"]
    assert main(["truncation", f"run={run}", *words]) == 0
    curve = json.loads((run.parent / "curve" / "truncation.json").read_text())
    assert curve["scores"][1]["fd_digits"] == found[2] and curve["protocol"]["standing_statistics"] == 2


def test_what_is_exported_is_what_training_scored(run: Path) -> None:
    out, opened = run.parent / "exported", load_run(run, device="cpu")
    assert main(["export", f"run={run}", "format=snapshot", f"out={out}"]) == 0
    generator, labels = gantool.load(out), torch.arange(10)
    z = generator.latents(10)
    assert isinstance(opened.game, GAN)
    with torch.no_grad():
        made, as_scored, of_training = (
            generator(z, labels),
            opened.game.generate(z, labels, opened.standing(2)),
            opened.game.generate(z, labels, opened.generators),
        )
    torch.testing.assert_close(made, as_scored)
    assert not torch.allclose(made, of_training, atol=1e-3)
    assert "- standing_statistics: 2" in (out / "README.md").read_text()


COMMANDS = {
    "interpolate": ("path.png", ["rows=2", "steps=3"]),
    "project": ("latents.npz", ["images={folder}/images", "steps=2", "starts=4"]),
    "explain": ("singular_values.csv", ["latents=2", "shown=1", "directions=2", "steps=3", "images=1"]),
}


@pytest.mark.parametrize("command", some(COMMANDS, 2))
def test_other_commands_show_what_training_scored(run: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.parent / "images").mkdir(exist_ok=True)
    save_png(load_run(run, device="cpu").sample(1, seed=5)[0], run.parent / "images" / "0.png")
    file, words = COMMANDS[command]

    def made(name: str) -> bytes:
        out = run.parent / f"{command}-{name}"
        asked = [word.format(folder=run.parent) for word in words]
        assert main([command, f"run={run}", f"out={out}", "device=cpu", *asked]) == 0
        return (out / file).read_bytes()

    as_scored = made("scored")
    monkeypatch.setattr(TrainedRun, "passes", 0)
    assert made("trained") != as_scored


@pytest.mark.parametrize(("model", "words"), [("mlp", ["model.generator.norm=none"]), ("cyclegan", []), ("r3gan", [])])
def test_networks_without_batch_norm_refuse_them(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], model: str, words: list[str]
) -> None:
    ask = [*SCORED, "features=digits", "monitor.scores.standing_statistics=2", *words]
    assert main(small(in_tmp / "run", *ask, model=model)) == 1
    assert "standing_statistics=2: this model" in capsys.readouterr().err
    assert not (in_tmp / "run" / ".hydra").exists()
