"""A history of generated images for the discriminator (Shrivastava 2017), the same on every rank."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from gantool.batch import Draws
from gantool.hosted import staying
from gantool.images import normalise, to_stored
from gantool.ranks import of_all_ranks


class ImagePool(nn.Module):
    """Up to `size` images made earlier in the run; as buffers, so that checkpoints hold them. `size` 0: no history.

    They are kept in 8 or 16 bits, as the real images are: less memory, and left alone by the averaging of
    floating-point buffers over the ranks.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int], bits: int = 8) -> None:
        super().__init__()
        self.size, self.bits = size, bits
        self.register_buffer("images", torch.zeros(size, *shape, dtype=torch.int16 if bits == 16 else torch.uint8))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))  # places that are filled

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        with staying(self, "count"):
            return super()._apply(fn, recurse)

    @torch.no_grad()
    def push(self, made: Tensor) -> None:
        """Takes in (N, C, H, W) images in [-1, 1]: into empty places first, then every second one in place of another.

        The places written to at once are distinct: which of two writes to one place counts would be left to chance.
        """
        stored = to_stored(made, self.bits).contiguous()
        made = of_all_ranks(stored.view(torch.uint8)).view(stored.dtype)  # no backend sends int16
        filled = int(self.count)
        first = made[: self.size - filled]
        self.images[filled : filled + len(first)] = first
        self.count += len(first)
        late = made[len(first) :][: self.size]
        kept = torch.rand(len(late), device=made.device) < 0.5
        places = torch.randperm(self.size, device=made.device)[: len(late)]
        self.images[places] = torch.where(kept[:, None, None, None], late, self.images[places])

    def forward(self, made: Tensor, draws: Draws) -> Tensor:
        """`made`, every second image replaced by one of the pool's once it is full; by these `draws`."""
        if not self.size:
            return made
        old = normalise(self.images[draws.randint(self.size)])
        chosen = (draws.rand(1, 1, 1) < 0.5) & (self.count == self.size)
        return torch.where(chosen, old, made)
