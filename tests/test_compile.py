"""trainer.compile trains what eager mode trains, penalty included; CUDA graphs overwrite nothing that is still read."""

from collections.abc import Callable
from functools import partial
from math import nan
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from composing import typed
from extent import some, thorough
from gantool.cli.main import main
from gantool.config import Written
from gantool.errors import GantoolError
from gantool.runs import build
from gantool.runs.compiling import check_graphs
from gantool.runs.fitting import settle_batch
from gantool.runs.lines import limits
from gantool.runs.training import train_run
from runs import Composed, same_training, small, train

CASES = {
    "wgan-gp": ("mlp", ["loss=wgan-gp"]),
    "fakes of another turn": ("dcgan", ["model.reuse_fakes=true", "trainer.microbatch=3"]),
    "a history of images": ("cyclegan", ["model.pool_size=4", "loss.n_critic=2"]),
    "scores of other rounds": ("mlp", ["augment=ada", "augment.interval=1", "regularizer=lecam"]),
    "features": ("mlp", ["auxiliary=feature-matching", "trainer.watchdog.every=1it"]),
}


class Graphs:
    """torch.compile with CUDA graphs, as far as a CPU can have it: what was made in a round is lost in the next."""

    def __init__(self) -> None:
        self.compiled: list[Any] = []
        self.made: list[Tensor] = []
        self.overwritten = 0

    def compile(self, call: MethodType, **options: Any) -> Callable[..., Tensor]:
        assert options == {"mode": "reduce-overhead", "dynamic": False}
        self.compiled.append(call.__self__)

        def run(*args: Tensor, **more: Tensor) -> Tensor:
            made = call(*args, **more)
            self.made.append(made.detach())
            return made

        return run

    def begin_round(self) -> None:
        weights = [p for network in self.compiled if isinstance(network, nn.Module) for p in network.parameters()]
        self.made += [p.grad for p in weights if p.grad is not None]
        self.overwritten += len(self.made)
        for tensor in self.made:
            tensor.fill_(nan)
        self.made = []


@pytest.mark.parametrize("case", some(CASES, 3))
def test_what_cuda_graphs_overwrite_is_read_no_more(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    model, words = CASES[case]
    run, graphs = Composed(in_tmp, *words, "trainer.log_every=1it", model=model), Graphs()
    eager = run.train("eager")
    run.cfg.trainer.compile = "graphs"
    monkeypatch.setattr(build, "check_graphs", lambda config, device: None)
    monkeypatch.setattr(torch, "compile", graphs.compile)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", graphs.begin_round)
    assert same_training(eager, run.train("graphs"))
    assert graphs.overwritten > 20
    networks = [part for part in graphs.compiled if isinstance(part, nn.Module)]
    assert 2 <= len(networks) < len(graphs.compiled), "both players' networks and the loss"


@pytest.mark.parametrize("tried", ["dry run", "auto-micro"])
def test_what_is_tried_is_compiled_as_the_run(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, tried: str) -> None:
    run, graphs = Composed(in_tmp, model="mlp"), Graphs()
    run.cfg.trainer.compile = "graphs"
    monkeypatch.setattr(build, "check_graphs", lambda config, device: None)
    monkeypatch.setattr(torch, "compile", graphs.compile)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", graphs.begin_round)
    if tried == "dry run":
        run.cfg.trainer.dry_run = True
        train_run(run.cfg, in_tmp / "run", run.hydra)
    else:
        run.cfg.trainer.batch_size = tried
        settle_batch(run.cfg, Written.of(run.hydra), in_tmp / "run")
    assert graphs.overwritten > 20, "rounds were played of compiled networks, and begun as theirs"


@pytest.mark.parametrize(
    ("words", "device", "reason"),
    [
        ([], "cpu", "needs a CUDA device, not cpu"),
        (["trainer.parallel=sharded"], "cuda", "does not go with trainer.parallel=sharded"),
        (["model=progan"], "cuda", "does not go with a model that grows"),
        ([], "cuda", None),
    ],
)
def test_graphs_are_refused_where_they_cannot_act(words: list[str], device: str, reason: str | None) -> None:
    for how in ("true", "graphs"):
        config = typed(*words, f"trainer.compile={how}", "dataset.channels=1", "dataset.num_classes=10")
        if reason is None or how == "true":
            check_graphs(config, torch.device(device))
            continue
        with pytest.raises(GantoolError, match=f"^trainer.compile=graphs {reason}: take trainer.compile=true$"):
            check_graphs(config, torch.device(device))


def test_graphs_on_a_cpu_are_refused_before_anything_is_made(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(small(in_tmp / "run", "trainer.compile=graphs", "trainer.device=cpu")) == 1
    assert "trainer.compile=graphs needs a CUDA device" in capsys.readouterr().err
    assert not (in_tmp / "run").exists()


@thorough
def test_compiled_networks_get_the_gradient_penalty_too(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["loss=wgan-gp", "loss.regularizers.gradient_penalty.weight=1000"]
    eager = train(in_tmp / "eager", *words, model="mlp", rounds=1)
    # All of torch.compile but the C++ compiler, which takes most of a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    compiled = train(in_tmp / "compiled", *words, "trainer.compile=true", model="mlp", rounds=1)
    assert compiled["game"].keys() == eager["game"].keys(), "compiling in place keeps the names of weights"
    for name, moments in eager["optimizers"]["discriminator"]["state"].items():
        other = compiled["optimizers"]["discriminator"]["state"][name]["exp_avg"]
        assert (other - moments["exp_avg"]).norm() <= 1e-3 * moments["exp_avg"].norm() + 1e-8, name


LIMITS = {
    "trainer.compile=true auxiliary=feature-matching": "trainer.compile leaves the discriminator as it is",
    "trainer.compile=graphs auxiliary=feature-matching": "trainer.compile leaves the discriminator as it is",
    "trainer.compile=true": "",
    "auxiliary=feature-matching": "",
    "trainer.parallel=sharded monitor=histograms": "monitor=histograms shows",
    "trainer.parallel=sharded monitor=samples": "",
    "monitor=histograms": "",
}


@pytest.mark.parametrize("words", LIMITS)
def test_a_setting_that_does_less_beside_another_one_is_told(words: str) -> None:
    told = list(limits(typed(*words.split(), "dataset.channels=1", "dataset.num_classes=10")))
    assert len(told) == bool(LIMITS[words]) and LIMITS[words] in "".join(told)
