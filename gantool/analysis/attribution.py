"""Which pixels a discriminator's score comes from: integrated gradients (Sundararajan 2017), the gradient (Simonyan
2014) by SmoothGrad (Smilkov 2017) and occlusion (Zeiler 2014), by Captum."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor | None], Tensor]  # (N, C, H, W) images and (N,) labels -> (N, ...) raw scores
METHODS = ("integrated gradients", "saliency", "occlusion")
_AT_ONCE = 64  # images
_NOISE, _NOISY = 0.15, 50  # SmoothGrad's: standard deviation as a share of the range of pixels, 2; and noisy copies


@dataclass(frozen=True)
class Attribution:
    """Of one image's score; maps (H, W) on the CPU, summed over channels: above 0 is what raises the score."""

    score: float
    baseline_score: float
    maps: dict[str, Tensor]  # by method: score, score per unit of a pixel in [-1, 1], score that goes when covered

    @property
    def completeness_error(self) -> float:
        """Integrated gradients are to add up to the score's distance from the baseline's: how far they are off."""
        return float(self.maps[METHODS[0]].sum()) - (self.score - self.baseline_score)


def each_alone(score: Score, images: Tensor, labels: Tensor | None) -> tuple[Score, bool]:
    """(N, ...) scores become (N,), the mean over patches; and whether the network lets the images of a batch see each
    other, as minibatch standard deviation does: then it is given them one at a time."""

    def mean(x: Tensor, y: Tensor | None) -> Tensor:
        return score(x, y).flatten(1).mean(1)

    def one_by_one(x: Tensor, y: Tensor | None) -> Tensor:
        parts = zip(x.split(1), [None] * len(x) if y is None else y.split(1), strict=True)
        return torch.cat([mean(image, label) for image, label in parts])

    with torch.no_grad():
        together, alone = mean(images, labels), one_by_one(images, labels)
    mixes = not torch.allclose(together, alone, rtol=1e-3, atol=1e-3 * float(alone.abs().mean()))
    return (one_by_one if mixes else mean), mixes


def attribute(score: Score, image: Tensor, label: Tensor | None, baseline: Tensor, steps: int) -> Attribution:
    """Of one image (C, H, W) with label () against `baseline` (C, H, W), by a score that looks at each image alone.

    The saliency is the mean gradient over noisy copies of the image, which torch's generator draws: that of the image
    alone is mostly noise.
    `steps` of the integral from the baseline to the image. The occluding square has a quarter of the side, takes the
    baseline's pixels and moves by half of itself; a pixel gets the mean over the squares that cover it.
    """
    from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency

    def of(x: Tensor) -> Tensor:
        return score(x, None if label is None else label.expand(len(x), *label.shape))

    images, baselines = image[None].clone().requires_grad_(), baseline[None]
    channels, *size = image.shape
    square = max(min(size) // 4, 1)  # of the smaller side: it has to fit into the image
    stride = max(square // 2, 1)
    with torch.enable_grad():
        gradients = IntegratedGradients(of).attribute(images, baselines, n_steps=steps, internal_batch_size=_AT_ONCE)
        noisy = {"nt_type": "smoothgrad", "nt_samples": _NOISY, "nt_samples_batch_size": _NOISY, "stdevs": 2 * _NOISE}
        saliency = NoiseTunnel(Saliency(of)).attribute(images, **noisy, abs=False)
    with torch.no_grad():
        occlusion = Occlusion(of).attribute(
            images,
            (channels, square, square),
            (channels, stride, stride),
            baselines,
            perturbations_per_eval=_AT_ONCE,
        )
        scores = float(of(images)), float(of(baselines))
    # Occlusion covers all channels at once, and each of them has the whole difference.
    assert isinstance(saliency, Tensor)  # as `images` is one
    found = (gradients.sum(1), saliency.sum(1), occlusion.mean(1))
    maps = {name: values[0].detach().cpu() for name, values in zip(METHODS, found, strict=True)}
    return Attribution(*scores, maps)
