"""init= for translators, whose first layer adds up over the channels of an image."""

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from extent import some
from gantool.training.checkpoint import Checkpoints
from runs import TRANSLATORS, WIDTHS, two_sides
from test_transfer import begun, fresh


@pytest.mark.parametrize(("model", "channels"), some(product(TRANSLATORS, [(3, 1), (1, 3), (3, 2)]), 2))
def test_a_translator_of_other_channels_sees_and_makes_the_same(
    model: str, channels: tuple[int, int], tmp_path: Path
) -> None:
    """Grey images in either: what its first layer sees is what the old one saw, and its last makes grey of it."""
    words = [f"model={model}", *WIDTHS[model], f"dataset.root={two_sides(tmp_path / 'sides')}"]
    old, new = (fresh(*words, f"dataset.channels={number}") for number in channels)
    begun(Checkpoints(tmp_path / "old").save(old.state_dict(), 0), new)
    grey = torch.rand(2, 1, 32, 32)
    for before, after in ((old.game, new.game), (old.ema, new.ema)):
        pairs = [
            (was, now)
            for was, now in zip(convolutions(before.generators), convolutions(after.generators), strict=True)
            if was.weight.shape != now.weight.shape
        ]
        assert len(pairs) == 2 * len(old.game.generators)
        for first, last in zip(pairs[::2], pairs[1::2], strict=True):
            with torch.no_grad():
                seen = [layer(grey.expand(-1, layer.in_channels, -1, -1)) for layer in first]
                torch.testing.assert_close(seen[1], seen[0], rtol=1e-4, atol=1e-5)
                inside = torch.rand(2, last[0].in_channels, 16, 16)
                made = [layer(inside).mean(1) for layer in last]
                torch.testing.assert_close(made[1], made[0], rtol=1e-4, atol=1e-5)


def convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
