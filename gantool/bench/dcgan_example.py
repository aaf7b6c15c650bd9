"""The training step of PyTorch's DCGAN example (pytorch/examples, dcgan/main.py) at its defaults, to be timed against.

Written anew from its description: 64 pixels, widths of 64, 100 latents, batches of 64, Adam at 2e-4 with betas 0.5 and
0.999, a backward pass each for real and fake images, numbers for the log fetched in every step, a DataLoader with two
workers over torchvision's transforms, which resize and crop images of another size to those 64 pixels.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gantool.bench.plain_loop import Items, whole_batches
from gantool.data.image_set import ImageSet
from gantool.training.hardware import default_allocator

RESOLUTION = 64
BATCH, LATENT, WIDTH, LOADERS = 64, 100, 64, 2


class Example:
    """One step of either network, of the images at 64 pixels; the networks have as many channels as these."""

    def __init__(self, image_set: ImageSet, device: torch.device) -> None:
        self.device, channels = device, image_set.images.shape[1]
        self.generator, self.discriminator = _generator(channels).to(device), _discriminator(channels).to(device)
        for network in (self.generator, self.discriminator):
            network.apply(_initialise)
        adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
        self.optimizers = [torch.optim.Adam(n.parameters(), **adam) for n in (self.discriminator, self.generator)]
        self.batches = whole_batches(Resized(image_set), BATCH, num_workers=LOADERS)

    def play(self) -> None:
        """One step of the discriminator and one of the generator."""
        default_allocator()
        real, (of_discriminator, of_generator) = next(self.batches)[0].to(self.device), self.optimizers
        self.discriminator.zero_grad()
        loss_real, score_real = self._turn(real, 1.0)
        fake = self.generator(torch.randn(len(real), LATENT, 1, 1, device=self.device))
        loss_fake, score_fake = self._turn(fake.detach(), 0.0)
        of_discriminator.step()
        self.generator.zero_grad()
        loss, score = self._turn(fake, 1.0)
        of_generator.step()
        for number in (loss_real + loss_fake, loss, score_real, score_fake, score):
            number.item()

    def _turn(self, images: Tensor, label: float) -> tuple[Tensor, Tensor]:
        """The loss, after its backward pass, and the mean output of the discriminator."""
        output = self.discriminator(images).flatten()
        loss = nn.functional.binary_cross_entropy(output, torch.full_like(output, label))
        loss.backward()
        return loss.detach(), output.detach().mean()


class Resized(Items):
    """The same at 64 pixels: the shorter side is resized, the centre square is taken."""

    def __init__(self, image_set: ImageSet) -> None:
        from torchvision.transforms import CenterCrop, Compose, Resize

        super().__init__(image_set)
        self.fit = Compose([Resize(RESOLUTION), CenterCrop(RESOLUTION)])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        image, *more = super().__getitem__(index)
        return self.fit(image), *more


def _generator(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = [LATENT, *(WIDTH * factor for factor in (8, 4, 2, 1))]
    for place, (before, after) in enumerate(pairwise(widths)):
        stride, padding = (2, 1) if place else (1, 0)
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(True),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(WIDTH, channels, 4, 2, 1, bias=False), nn.Tanh())


def _discriminator(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = [channels, *(WIDTH * factor for factor in (1, 2, 4, 8))]
    for place, (before, after) in enumerate(pairwise(widths)):
        norm = [nn.BatchNorm2d(after)] if place else []
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTH * 8, 1, 4, bias=False), nn.Sigmoid())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
