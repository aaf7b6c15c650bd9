"""Small changes of place and exposure that leave an image what it is, for a term that compares an image with itself."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.augment.transforms import proportioned, turn
from gantool.batch import Draws
from gantool.errors import GantoolError


class Jitter:
    """Turns each image by up to `rotation` degrees, slants it by up to `shear` (sideways per unit of height), sizes
    either axis by up to 2^`size`, moves it by up to `shift` of the half width, and raises its brightness (0 to 1) to a
    power of up to 2^`gamma`; all uniform, both ways.

    Black, -1, moves in. The backward pass is deterministic on a CPU but not on a GPU, where trainer.deterministic=true
    refuses it. Raises GantoolError for a negative number.
    """

    def __init__(
        self, rotation: float = 25.0, shear: float = 0.4, size: float = 0.5, shift: float = 0.1, gamma: float = 1.5
    ) -> None:
        if min(rotation, shear, size, shift, gamma) < 0:
            raise GantoolError(
                f"rotation={rotation}, shear={shear}, size={size}, shift={shift}, gamma={gamma} of a jitter: 0 or more"
            )
        self.rotation, self.shear, self.size, self.shift = math.radians(rotation), shear, size, shift
        self.gamma = gamma

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> float32 of the same shape and range; `draws` are of this part."""
        with torch.autocast(images.device.type, enabled=False):  # places are not for bf16
            angle, slant, *sizes, x, y, power = (2 * draws.rand(7) - 1).split(1, 1)
            across, down = turn(self.rotation * angle[:, 0]).unbind(2)  # columns
            whole = torch.stack([across, torch.addcmul(down, self.shear * slant, across)], 2)
            whole = whole * torch.exp2(self.size * torch.cat(sizes, 1))[:, None]
            moved = (whole * (self.shift * torch.cat([x, y], 1))[:, None]).sum(2, keepdim=True)
            back = proportioned(torch.cat([whole, moved], 2), images)
            grid = F.affine_grid(back, list(images.shape), align_corners=False)
            light = (F.grid_sample(images.float() + 1, grid, align_corners=False) / 2).clamp(1e-3, 1)  # 0 moves in
            # From 0.001 on: a power below 1 is infinitely steep at 0.
            return 2 * light ** torch.exp2(self.gamma * power)[..., None, None] - 1
