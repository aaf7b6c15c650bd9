"""A regularizer of one's own."""

from dataclasses import dataclass

from torch import Tensor, nn

from gantool.game import Turn


@dataclass(frozen=True)
class Centre:
    """Keeps the mean score of fake images near zero."""

    weight: float = 0.1
    every: int = 1  # lazy: every k-th batch, k times as strong
    player: str = "discriminator"  # whose loss it adds to: discriminator, generator, both
    allow_batch_norm: bool = True  # False: it differentiates the score of each image alone

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        return self.weight * network(turn.fake, turn.fake_labels).mean().square()
