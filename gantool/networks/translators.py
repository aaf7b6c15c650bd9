"""Networks that turn one image into another: CycleGAN's residual one (Zhu 2017) and pix2pix's U-Net (Isola 2017).

Every weight is drawn from N(0, 0.02), as in both papers.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.errors import check_choice
from gantool.networks.layers import finish
from gantool.networks.norms import BIASED, NORMS, norm_2d
from gantool.shapes import Resolution, multiples

_WIDEST = 8  # times the width: a U-Net's inner layers
_NOISY = 3  # layers of a U-Net's way up that have dropout


class Reflect(nn.Module):
    """Pads (N, C, H, W) by `size` pixels on each side, mirrored at the border.

    torch's own kernel has no deterministic backward on a GPU; where one is asked for, the border is put together.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H + 2 size, W + 2 size)."""
        if not torch.are_deterministic_algorithms_enabled():
            return F.pad(x, [self.size] * 4, mode="reflect")
        for axis in (2, 3):
            length = x.shape[axis]
            before = x.narrow(axis, 1, self.size).flip(axis)
            after = x.narrow(axis, length - 1 - self.size, self.size).flip(axis)
            x = torch.cat([before, x, after], axis)
        return x


class Dropout(nn.Module):
    """Dropout that stays when the network is in eval mode: it is the only noise that pix2pix has (Isola 2017)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return F.dropout(x, self.rate, training=True)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, nothing after the sum (Johnson 2016)."""

    def __init__(self, width: int, norm: str, dropout: float) -> None:
        super().__init__()
        bias = norm in BIASED
        noise = [Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(
            Reflect(1),
            nn.Conv2d(width, width, 3, bias=bias),
            norm_2d(norm, width),
            nn.ReLU(inplace=True),
            *noise,
            Reflect(1),
            nn.Conv2d(width, width, 3, bias=bias),
            norm_2d(norm, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same."""
        return x + self.layers(x)


class ResNet(nn.Module):
    """Two halvings, `blocks` residual blocks, two doublings; 7x7 convolutions at both ends (Zhu 2017, section 7.2).

    `blocks` None: 6 below 256 pixels, 9 from there on, as the paper has it.
    """

    def __init__(
        self,
        *,
        resolution: Resolution,
        channels: int,
        width: int = 64,
        blocks: int | None = None,
        norm: str = "instance",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice("model.generator.norm", norm, NORMS)
        short = min(multiples(resolution, 4, "the residual translator takes multiples of 4, from 16", 16))
        blocks = (6 if short < 256 else 9) if blocks is None else blocks
        bias = norm in BIASED
        widths = [width, 2 * width, 4 * width]
        down = [Reflect(3), nn.Conv2d(channels, width, 7, bias=bias), norm_2d(norm, width), nn.ReLU(inplace=True)]
        for c_in, c_out in pairwise(widths):
            down += [nn.Conv2d(c_in, c_out, 3, 2, 1, bias=bias), norm_2d(norm, c_out), nn.ReLU(inplace=True)]
        up: list[nn.Module] = []
        for c_in, c_out in pairwise(widths[::-1]):
            up += [
                nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, output_padding=1, bias=bias),
                norm_2d(norm, c_out),
                nn.ReLU(inplace=True),
            ]
        self.down = nn.Sequential(*down)
        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1], norm, dropout) for _ in range(blocks)))
        self.up = nn.Sequential(*up, Reflect(3), nn.Conv2d(width, channels, 7))
        finish(self, norm)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, C, R, R) float32 in [-1, 1]."""
        return torch.tanh(self.up(self.blocks(self.down(images))).float())


class UNet(nn.Module):
    """Halves the sides while they are even, then doubles them, each level beside its mirror image (Isola 2017, 6.1.1).

    No norm at the outermost and the innermost level: there it would leave nothing of a single value. `dropout` acts on
    the three innermost levels of the way up.
    """

    def __init__(
        self, *, resolution: Resolution, channels: int, width: int = 64, norm: str = "instance", dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_choice("model.generator.norm", norm, NORMS)
        size = multiples(resolution, 8, "the U-Net translator takes multiples of 8")
        depth = min((side & -side).bit_length() - 1 for side in size)  # how often both sides can be halved
        bias = norm in BIASED
        widths = [width * min(2**level, _WIDEST) for level in range(depth)]
        down: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1)]
        for level in range(1, depth):
            c_in, c_out, inmost = widths[level - 1], widths[level], level == depth - 1
            convolution = nn.Conv2d(c_in, c_out, 4, 2, 1, bias=bias or inmost)
            down.append(nn.Sequential(nn.LeakyReLU(0.2), convolution, norm_2d("none" if inmost else norm, c_out)))
        up: list[nn.Module] = []
        for level in reversed(range(1, depth)):
            c_in, c_out = widths[level] * (1 if level == depth - 1 else 2), widths[level - 1]
            noise = [Dropout(dropout)] if dropout and len(up) < _NOISY else []
            convolution = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=bias)
            up.append(nn.Sequential(nn.ReLU(), convolution, norm_2d(norm, c_out), *noise))
        up.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, channels, 4, 2, 1)))
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        finish(self, norm)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, C, R, R) float32 in [-1, 1]."""
        levels = [images]
        for layer in self.down:
            levels.append(layer(levels[-1]))
        x = self.up[0](levels.pop())
        for layer in self.up[1:]:
            x = layer(torch.cat([x, levels.pop()], 1))
        return torch.tanh(x.float())
