"""trainer.compile=true trains what eager mode trains, penalty included."""

from functools import partialmethod
from pathlib import Path

import pytest
from torch import nn

from extent import thorough
from runs import train


@thorough
def test_compiled_networks_get_the_gradient_penalty_too(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["loss=wgan-gp", "loss.regularizers.gradient_penalty.weight=1000"]
    eager = train(in_tmp / "eager", *words, model="mlp", rounds=1)
    # All of torch.compile but the C++ compiler, which takes most of a minute.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    compiled = train(in_tmp / "compiled", *words, "trainer.compile=true", model="mlp", rounds=1)
    assert compiled["game"].keys() == eager["game"].keys(), "compiling in place keeps the names of weights"
    for name, moments in eager["optimizers"]["discriminator"]["state"].items():
        other = compiled["optimizers"]["discriminator"]["state"][name]["exp_avg"]
        assert (other - moments["exp_avg"]).norm() <= 1e-3 * moments["exp_avg"].norm() + 1e-8, name
