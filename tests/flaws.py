"""Distances of real images, as they are and made worse, to others of their kind.

    python tests/flaws.py MNIST CIFAR10 CELEBA [NUM]

The words are the folders that dataset.root names, and how many images a side has, 5,000 if it is not said. Digits are
judged by `features=digits` against mnist-5k, CIFAR-10 at 32 pixels and faces at 64 by `features=efficientnet`.
"""

import sys
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

from gantool.data.cache import prepare
from gantool.data.celeba import CelebA
from gantool.data.cifar10 import Cifar10
from gantool.data.mnist import Mnist, Mnist5k
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.efficientnet import EfficientNetFeatures
from gantool.metrics.embedding import Embedding, embed
from gantool.metrics.features import Features
from gantool.metrics.scores import FrechetDistance

NUM, DRAWS = 5000, 3
NOISE, BLUR, MIXING = (10, 40), (1.0, 2.0), (0.2, 0.6)  # grey levels of 255, pixels, share of images: little and much


def noisy(images: Tensor, strength: float) -> Tensor:
    """With normal noise of so many grey levels; images are uint8 (N, C, H, W), here and below."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + strength * noise).round().clamp(0, 255).to(torch.uint8)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """By a normal distribution of `sigma` pixels."""
    return torch.cat([gaussian_blur(part, [13, 13], [sigma]) for part in images.split(500)])


def mixed(images: Tensor, others: Tensor, share: float) -> Tensor:
    """The first ones replaced by `others`, which are resized; as far as they go, if they are fewer."""
    taken = others[: round(share * len(images))]
    resized = F.interpolate(taken.float(), images.shape[-2:], mode="bilinear", antialias=True).round().to(torch.uint8)
    return torch.cat([resized, images[len(resized) :]])


def flawed(images: Tensor, others: Tensor) -> dict[str, list[Tensor]]:
    """The images made worse in three ways, a little and much; `others` are of another kind."""
    return {
        "noise": [noisy(images, strength) for strength in NOISE],
        "blur": [blurred(images, sigma) for sigma in BLUR],
        "mixing": [mixed(images, others, share) for share in MIXING],
    }


def seen(network: Features, images: Tensor) -> Embedding:
    """Images as a network sees them, on the CPU."""
    return embed(network, ((part, None) for part in images.split(100)), torch.device("cpu"))


def shuffled(images: Tensor) -> Tensor:
    """In an order that is always the same."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]


def draws(images: Tensor, num: int) -> list[Tensor]:
    """At most DRAWS parts of `num` images that share none."""
    return [part for part in images[: DRAWS * num].split(num) if len(part) == num]


def digits(folder: str, num: int) -> Iterator[tuple[str, list[Tensor]]]:
    """What is measured on digits, the first what all the rest is measured against."""
    few = prepare(Mnist5k(None, resolution=28))
    many, test = (prepare(Mnist(folder, resolution=28, split=split)) for split in ("train", "test"))
    assert many.labels is not None
    known = {image.numpy().tobytes() for image in few.images}
    rows = torch.tensor([row for row, image in enumerate(many.images) if image.numpy().tobytes() not in known])
    threes = many.images[rows[many.labels[rows] == 3]]
    other = draws(shuffled(many.images[rows]), num)
    yield "mnist-5k", [shuffled(few.images)[:num]]
    yield "other training digits", other
    yield "test digits", draws(shuffled(test.images), num)
    yield from flawed(other[0], threes).items()
    yield "only threes", [threes[:num]]
    seeded = torch.Generator().manual_seed(0)
    yield "uniform noise", [torch.randint(0, 256, other[0].shape, dtype=torch.uint8, generator=seeded)]


def natural(images: Tensor, others: Tensor, num: int) -> Iterator[tuple[str, list[Tensor]]]:
    """The same for photographs, `others` being of another kind."""
    real, *kept = draws(shuffled(images), num)
    yield "real", [real]
    yield "other real ones", kept[:1]
    yield from flawed(kept[0], shuffled(others)).items()


def tell(title: str, network: Features, sets: Iterator[tuple[str, list[Tensor]]]) -> dict[str, list[float]]:
    """Prints the distances of each set to the first one, and returns them by name."""
    print(title, flush=True)
    (_, (first,)), found = next(sets), {}
    real = seen(network, first)
    for name, parts in sets:
        found[name] = [FrechetDistance()(seen(network, part), real, 0) for part in parts]
        print(f"  {name:<22}", ", ".join(f"{distance:.3g}" for distance in found[name]), flush=True)
    return found


def main(mnist: str, cifar10: str, celeba: str, num: int = NUM) -> dict[str, dict[str, list[float]]]:
    """Prints and returns all distances, by data set and flaw."""
    print(f"noise of {NOISE} of 255, blur of {BLUR} pixels, {MIXING} of images mixed in; {num} images a side")
    photographs = prepare(Cifar10(cifar10)).images
    faces = prepare(CelebA(celeba, split="all")).images
    network = EfficientNetFeatures()
    return {
        "digits": tell("fd_digits; mixing: threes", DigitFeatures(), digits(mnist, num)),
        "cifar10": tell("fd_efficientnet, CIFAR-10; mixing: faces", network, natural(photographs, faces, num)),
        "faces": tell("fd_efficientnet, faces; mixing: CIFAR-10", network, natural(faces, photographs, num)),
    }


if __name__ == "__main__":
    folders, counts = sys.argv[1:4], [int(word) for word in sys.argv[4:5]]
    main(*folders, num=counts[0] if counts else NUM)
