"""trainer.compile=true trains what eager mode trains, penalty included; its limits are told."""

from functools import partial
from pathlib import Path

import pytest
import torch

from composing import typed
from extent import thorough
from gantool.runs.lines import limits
from runs import train


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
    "trainer.compile=true auxiliary=feature-matching": "trainer.compile=true leaves the discriminator as it is",
    "trainer.compile=graphs auxiliary=feature-matching": "",
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
