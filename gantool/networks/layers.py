"""The parts that networks are made of beside norms: initialisation, attention, and where labels come in."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from gantool.errors import GantoolError, check_choice
from gantool.networks.norms import InstanceNorm
from gantool.shapes import Resolution, sides

CONDITIONS = ("projection", "concat", "none")  # of a discriminator; none: an auxiliary classifies in its place


def chosen_condition(condition: str | None, num_classes: int, choices: tuple[str, ...] = CONDITIONS) -> str:
    """How a discriminator is told the label: as asked, by default by projection where there are classes.

    Raises GantoolError for an unknown way, and for any where there are no labels.
    """
    if condition is None:
        return "projection" if num_classes else "none"
    check_choice("model.discriminator.condition", condition, choices)
    if not num_classes:
        raise GantoolError(
            f"model.discriminator.condition={condition}: an unconditional model is told no labels; leave it out, or "
            "add model.conditional=true"
        )
    return condition


def apply_spectral_norm(network: nn.Module, *, embeddings: bool = True) -> None:
    """Divides every weight of `network` by its largest singular value (Miyato 2018); `embeddings`: theirs too.

    One power iteration a training forward; u and v are buffers, started with 15 iterations as torch does.
    """
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, *([nn.Embedding] if embeddings else []))
    for module in list(network.modules()):
        if isinstance(module, kinds):
            spectral_norm(module)


@torch.no_grad()
def initialise_dcgan(network: nn.Module) -> None:
    """All weights N(0, 0.02), scales of norms N(1, 0.02), biases 0 (Radford 2016 and the authors' code)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, InstanceNorm, nn.GroupNorm, nn.LayerNorm)):
            nn.init.normal_(module.weight, 1.0, 0.02)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def finish(network: nn.Module, norm: str) -> None:
    """The end of a constructor: DCGAN's initialisation, and spectral norm where it is the `norm`."""
    initialise_dcgan(network)
    if norm == "spectral":
        apply_spectral_norm(network)


class DoublingConv2d(nn.Conv2d):
    """Nearest-neighbour doubling and a 3x3 convolution (Odena 2016: no checkerboard), as one transposed convolution
    with sums of neighbouring weights: 4/9 of the work (ProGAN's authors' upscale2d_conv2d)."""

    def __init__(self, c_in: int, c_out: int, *, bias: bool = True) -> None:
        super().__init__(c_in, c_out, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, 2H, 2W)."""
        if min(input.shape[2:]) < 8:  # adding weights costs more than it saves
            return super().forward(F.interpolate(input, scale_factor=2.0))
        kernel = 4 * F.avg_pool2d(self.weight.flip(2, 3), 2, stride=1, padding=1).transpose(0, 1)
        if input.is_contiguous(memory_format=torch.channels_last):  # twice as fast on a CPU
            kernel = kernel.contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)


class HalvingConv2d(nn.Conv2d):
    """A 3x3 convolution and the mean of each 2x2, as one convolution with means of neighbouring weights: 4/9
    of the work (ProGAN's authors' conv2d_downscale2d)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, H/2, W/2)."""
        return F.conv2d(input, F.avg_pool2d(self.weight, 2, stride=1, padding=1), self.bias, stride=2, padding=1)


class LabelTable(nn.Embedding):
    """A row for each class; of a vector the sum of the rows times its numbers, so that one-hot it is a class."""

    def forward(self, input: Tensor) -> Tensor:
        """(N,) int64, or (N, classes) floating point -> (N, dim)."""
        return input @ self.weight if input.is_floating_point() else super().forward(input)


class LabelledLatent(nn.Module):
    """Appends an embedding of the label to the latent (Mirza & Osindero 2014); without classes, the latent alone."""

    def __init__(self, latent_dim: int, num_classes: int) -> None:
        super().__init__()
        self.embed = LabelTable(num_classes, latent_dim) if num_classes else None
        self.dim = latent_dim * (2 if num_classes else 1)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, dim)."""
        return z if self.embed is None else torch.cat([z, self.embed(labels)], 1)


class Projection(nn.Module):
    """The inner product of features with an embedding of the label, added to the score (Miyato & Koyama 2018)."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.embed = LabelTable(num_classes, features)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """(N, features), (N,) -> (N, 1)."""
        return (features * self.embed(labels)).sum(1, keepdim=True)


class ToPixel(nn.Conv2d):
    """A convolution by a kernel as large as the maps, (N, c_in, K, K) -> (N, c_out, 1, 1): computed as the matrix
    product that it is, which on a CPU takes a fraction of the time."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class FromPixel(nn.ConvTranspose2d):
    """A transposed convolution of maps of one pixel, (N, c_in, 1, 1) -> (N, c_out, K, K), as a matrix product too: of
    weights that are channels last, as are the maps."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        kernel = self.weight.permute(0, 2, 3, 1)
        maps = (input.flatten(1) @ kernel.flatten(1)).unflatten(1, kernel.shape[1:]).permute(0, 3, 1, 2)
        return maps if self.bias is None else maps + self.bias[:, None, None]


class HeadedDiscriminator(nn.Module, ABC):
    """Image -> raw score: a `head` on its `features`, and the `projection` of the label where there is one."""

    feature_dim: int
    head: nn.Module
    projection: Projection | None
    sees_label = False  # True: its features are of the label too

    @abstractmethod
    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, R, R) in [-1, 1], (N,) -> (N, feature_dim)."""

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, feature_dim), (N,) -> (N, 1) float32, unbounded."""
        score = self.head(features)
        if self.projection is not None:
            score = score + self.projection(features, labels)
        return score.float()

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, R, R) in [-1, 1], (N,) -> (N, 1) float32, unbounded."""
        return self.score(self.features(images, labels), labels)


class LabelPlane(nn.Module):
    """Appends an embedding of the label as one more image channel (Mirza & Osindero 2014, for convolutions)."""

    def __init__(self, resolution: Resolution, num_classes: int) -> None:
        super().__init__()
        self.size = sides(resolution)
        self.embed = LabelTable(num_classes, self.size[0] * self.size[1])

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(N, C, R, R), (N,) -> (N, C + 1, R, R)."""
        plane = self.embed(labels).view(-1, 1, *self.size)
        return torch.cat([images, plane.to(images.dtype)], 1)


class SelfAttention(nn.Module):
    """Adds to each place a mixture of what stands at all others (Zhang 2019), times a gain that starts at 0.

    As BigGAN's authors have it: queries and keys of an eighth of the channels, values of half, keys and values
    max-pooled by 2, no biases, no scale before the softmax. Written out, as torch's fused attention cannot be
    differentiated twice, which gradient penalties ask for.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key = (nn.Conv2d(channels, narrow, 1, bias=False) for _ in range(2))
        self.value, self.out = nn.Conv2d(channels, half, 1, bias=False), nn.Conv2d(half, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), H and W at least 2."""
        query, key, value = (
            self.query(x).flatten(2),  # (N, C / 8, H * W)
            F.max_pool2d(self.key(x), 2).flatten(2),  # (N, C / 8, H * W / 4)
            F.max_pool2d(self.value(x), 2).flatten(2),  # (N, C / 2, H * W / 4)
        )
        weights = (query.transpose(1, 2) @ key).float().softmax(2)
        mixed = (value @ weights.transpose(1, 2).to(value.dtype)).unflatten(2, x.shape[2:])
        return x + self.gain.to(x.dtype) * self.out(mixed)


def check_attention(key: str, attended: int | None, known: Sequence[int]) -> None:
    """Raises GantoolError that names `key` unless maps of `attended` pixels are among the `known`."""
    if attended is not None and attended not in known:
        listed = ", ".join(str(side) for side in sorted(set(known)))
        raise GantoolError(f"{key}={attended}: no maps of this size there; choose {listed} pixels or null")


class MinibatchStd(nn.Module):
    """Appends the standard deviation over a group of images, averaged over features, as a channel (Karras 2018).

    Groups have at most `group` images: the largest divisor of N that is no larger. The score of an image so depends on
    the others of its group.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + 1, H, W)."""
        n, c, h, w = x.shape
        size = max(k for k in range(1, self.group + 1) if n % k == 0)
        groups = x.float().reshape(size, n // size, c, h, w)
        std = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        return torch.cat([x, std.to(x.dtype).repeat(size).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)


def scores_alone(network: nn.Module) -> bool:
    """Whether a forward in training treats each image by itself and leaves the network as it was, so that the images of
    two can go through one. Nothing is known of modules that are neither torch's nor gantool's."""
    mixing = (_BatchNorm, MinibatchStd, ParametrizationList)  # the last is spectral norm, which moves once a forward
    return all(
        type(module).__module__.startswith(("torch.", "gantool.")) and not isinstance(module, mixing)
        for module in network.modules()
    )
