"""trainer.parallel=players on devices that this machine has not: torch's fake tensors have a device and no numbers, and
refuse to mix two."""

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
from gantool.runs.build import Setup, build_game, build_source, build_state, fill_in
from gantool.training.hardware import MixedPrecision
from gantool.training.placement import place
from gantool.training.state import State
from runs import small

HOME, AWAY = torch.device("cuda", 0), torch.device("cuda", 1)
CASES = {  # without gradient penalties: fake tensors of a GPU have no backward pass where there is none
    "weights": ("dcgan", ["loss=hinge", "regularizer=[l1,l2,orthogonal]", "augment=diffaugment"]),
    "classes": ("resnet", ["model.conditional=true"]),
    "codes": ("infogan", ["optimizer.clip_norm=1"]),
    "biggan": ("biggan", ["model.conditional=true", "trainer.ema_buffers=average"]),
    "cyclegan": ("cyclegan", []),
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
    """A round, but for the backward pass, and a look at the averages."""
    images, labels = torch.rand(4, channels, side, side, device=HOME), torch.zeros(4, dtype=torch.int64, device=HOME)
    batch = Batch(images, labels, source=images.clone())
    for name, player in state.game.players.items():
        outcome, optimizer = player.loss(batch), state.optimizers[name]
        assert all(scores.device == HOME for scores in outcome.scores.values())
        for parameter in optimizer.parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step(state.precision)
    state.ema.update(state.game.generators, Progress(nimg=8, previous=4, total=100))
    made = state.game.sample(batch.request, state.ema.generators)
    assert made.device == HOME and made.shape == images.shape


@pytest.mark.parametrize("name", some(CASES, 2))
def test_a_round_mixes_no_devices(in_tmp: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "to", move)
    with FakeTensorMode(), torch.no_grad():
        state = built(in_tmp / "run", name)
        weights = [p for player in state.optimizers.values() for p in player.parameters]
        assert {p.device for p in weights} == {HOME, AWAY}
        dataset = state.config["dataset"]
        play(state, dataset["channels"], dataset["resolution"])
        state.game.generators["a2b" if name == "cyclegan" else "generator"]._forward_pre_hooks.clear()
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
