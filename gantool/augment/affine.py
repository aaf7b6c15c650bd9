"""Small affine changes of an image that leave it what it is, for a term that compares an image with itself."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.augment.transforms import matrix, rotate, scale, translate
from gantool.errors import GantoolError
from gantool.game import Batch


class Affine:
    """Turns each image by up to `rotation` degrees, slants it by up to `shear` (sideways per unit of height), sizes
    either axis by up to 2^`size` and moves it by up to `shift` of the half width, all uniform, both ways.

    Black, -1, moves in. The backward pass is deterministic on a CPU but not on a GPU, where trainer.deterministic=true
    refuses it. Raises GantoolError for a negative number.
    """

    def __init__(self, rotation: float = 25.0, shear: float = 0.4, size: float = 0.5, shift: float = 0.1) -> None:
        if min(rotation, shear, size, shift) < 0:
            raise GantoolError(
                f"rotation={rotation}, shear={shear}, size={size}, shift={shift} of an affine transform: 0 or more each"
            )
        self.rotation, self.shear, self.size, self.shift = math.radians(rotation), shear, size, shift

    def __call__(self, images: Tensor, batch: Batch) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> float32 of the same shape and range; `batch` draws."""
        with torch.autocast(images.device.type, enabled=False):  # places are not for bf16
            turn, slant, wide, high, x, y = (2 * batch.rand(6) - 1).unbind(1)
            back = rotate(self.rotation * turn) @ matrix((1, self.shear * slant, 0), (0, 1, 0), (0, 0, 1))
            back = back @ scale(torch.exp2(self.size * wide), torch.exp2(self.size * high))
            back = back @ translate(self.shift * x, self.shift * y)
            grid = F.affine_grid(back[:, :2], list(images.shape), align_corners=False)
            return F.grid_sample(images.float() + 1, grid, align_corners=False) - 1  # zeros move in: black
