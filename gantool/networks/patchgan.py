"""PatchGAN (Isola 2017): a convolutional discriminator that scores overlapping patches of an image, each by itself."""

from itertools import pairwise

from torch import Tensor, nn

from gantool.errors import GantoolError, check_choice
from gantool.networks.activations import LeakyReLU
from gantool.networks.layers import finish
from gantool.networks.norms import BIASED, NORMS, norm_2d
from gantool.shapes import Resolution, sides

_WIDEST = 8  # times the width


class PatchGAN(nn.Module):
    """Image -> a map of raw scores, one a patch.

    `depth` halvings make patches of 16 (1), 34 (2), 70 (3), 142 (4) or 286 (5) pixels; 0 scores single pixels. No norm
    beside the image, LeakyReLU 0.2, every weight drawn from N(0, 0.02). `images` is how many it sees at once, along
    the channels: 2 for an image beside its source.
    """

    def __init__(
        self,
        *,
        resolution: Resolution,
        channels: int,
        images: int = 1,
        width: int = 64,
        depth: int = 3,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        check_choice("model.discriminator.norm", norm, NORMS)
        short = min(sides(resolution))
        if depth < 0 or short >> depth < 3:
            deepest = max((short // 3).bit_length() - 1, 0)
            raise GantoolError(f"model.discriminator.depth={depth}: choose 0 to {deepest} at {short} pixels")
        bias = norm in BIASED
        size, halving, padding = (4, 2, 1) if depth else (1, 1, 0)
        widths = [width * min(2**level, _WIDEST) for level in range(depth + 1 if depth else 2)]
        first = nn.Conv2d(images * channels, width, size, halving, padding)
        layers: list[nn.Module] = [first, LeakyReLU(0.2)]
        for level, (c_in, c_out) in enumerate(pairwise(widths), start=1):
            stride = halving if level < depth else 1
            layers += [
                nn.Conv2d(c_in, c_out, size, stride, padding, bias=bias),
                norm_2d(norm, c_out),
                LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, size, 1, padding))
        finish(self, norm)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, images * C, R, R) in [-1, 1] -> (N, 1, r, r) float32, unbounded."""
        return self.layers(images).float()
