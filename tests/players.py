"""trainer.parallel=players on two devices of which one holds no numbers: torch's fake tensors refuse to mix devices, in
the backward pass too, which fake GPUs do not have where there is none."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from composing import composed
from extent import some
from gantool.batch import Batch
from gantool.cli.arguments import add_arguments
from gantool.config import Written, read
from gantool.game import Progress
from gantool.games.image_pool import ImagePool
from gantool.runs.build import Setup, build_game, build_source, build_state, fill_in
from gantool.training.hardware import MixedPrecision
from gantool.training.placement import place
from gantool.training.state import State
from gantool.training.update import update
from runs import small

HOME, AWAY = torch.device("cpu"), torch.device("meta")
CASES = {
    "penalty": ("dcgan", ["loss=wgan-gp", "model.generator.norm=layer"]),
    "matching": ("dcgan", ["auxiliary=feature-matching", "regularizer=[r1,r2]"]),
    "weights": ("dcgan", ["loss=hinge", "regularizer=[l1,l2,orthogonal]", "augment=diffaugment"]),
    "classes": ("resnet", ["model.conditional=true"]),
    "codes": ("infogan", ["optimizer.clip_norm=1"]),
    "biggan": ("biggan", ["model.conditional=true", "trainer.ema_buffers=average"]),
    "cyclegan": ("cyclegan", []),
    "cycle and penalty": ("cyclegan", ["loss=wgan-gp"]),
    "pix2pix": ("pix2pix", []),
}


def move(network: nn.Module, device: torch.device) -> nn.Module:
    """nn.Module.to, which cannot move fake tensors."""
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(torch.empty(weight.shape, device=device))
        for name, buffer in module._buffers.items():
            module._buffers[name] = (
                None if buffer is None else torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
            )
    return network


def built(folder: Path, name: str) -> State:
    """A run's state with the discriminators at home and the generators away."""
    model, words = CASES[name]
    words = [*words, "optimizer=sgd", "optimizer.fused=false"]  # others know no such device, or look at numbers
    cfg, hydra = composed(*add_arguments(small(folder, *words, model=model)[1:]))
    source = build_source(read(cfg, Written.of(hydra)).dataset)
    fill_in(cfg, source)
    config = read(cfg, Written.of(hydra))
    with torch.device(HOME):
        game = build_game(config)
    for network in game.generators.values():
        place(network, AWAY, HOME)
    state = build_state(Setup(cfg, config, HOME, MixedPrecision(HOME, "fp32"), source, game), 100)
    for network in state.ema.generators.values():
        network.to(AWAY)  # a deep copy of a fake tensor has a mode of its own
    return state


def play(state: State, channels: int, side: int) -> None:
    """A round in two parts, and a look at the averages."""
    images, labels = torch.rand(4, channels, side, side, device=HOME), torch.zeros(4, dtype=torch.int64, device=HOME)
    batch = Batch(images, labels, source=images.clone())
    for name, optimizer in state.optimizers.items():
        outcome, norm = update(state, name, batch, microbatch=2, seed=(0,))
        assert all(scores.device == HOME for scores in outcome.scores.values()) and norm.device == HOME
        assert all(p.grad is not None and p.grad.device == p.device for p in optimizer.parameters)
    state.ema.update(state.game.generators, Progress(nimg=8, previous=4, total=100))
    made = state.game.sample(batch.request, state.ema.generators)
    assert made.device == HOME and made.shape == images.shape


@pytest.mark.parametrize("name", some(CASES, 2))
def test_a_round_mixes_no_devices(in_tmp: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "to", move)
    monkeypatch.setattr(ImagePool, "push", lambda pool, made: None)  # it counts
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)  # which may not be asked of AWAY
    with FakeTensorMode():
        state = built(in_tmp / "run", name)
        weights = [p for player in state.optimizers.values() for p in player.parameters]
        assert {p.device for p in weights} == {HOME, AWAY}
        dataset = state.config["dataset"]
        play(state, dataset["channels"], dataset["resolution"])
        next(iter(state.game.generators.values()))._forward_pre_hooks.clear()
        with pytest.raises(RuntimeError, match="device"):  # so a mixture would be seen
            play(state, dataset["channels"], dataset["resolution"])


class Doubled(nn.Linear):
    """A network that takes labels by name."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return 2 * super().forward(z) + (0 if labels is None else labels[:, None])


def test_a_copy_of_a_network_is_placed_too() -> None:
    network = Doubled(3, 2)
    place(network, torch.device("meta"), torch.device("meta"))
    for placed in (network, copy.deepcopy(network)):
        made = placed(torch.rand(4, 3), labels=torch.arange(4))
        assert made.device.type == "meta" and made.shape == (4, 2)
