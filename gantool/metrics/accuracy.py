"""Classification accuracy score (Ravuri 2019): what generated images teach a classifier about real ones."""

import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.metrics.classifier import accuracy, fit


class ClassificationAccuracy:
    """The accuracy on real images, held out, of a `SmallResNet` trained on generated ones.

    `real` is split where there is no `test` set of its own. `floor` is the accuracy after the same training on as many
    real images: what the samples are to be measured by. `num_images`: how many images each training looks at.
    """

    def __init__(
        self, real: ImageSet, test: ImageSet | None, *, num: int, num_images: int, seed: int, device: torch.device
    ) -> None:
        self.num_images, self.seed, self.device = num_images, seed, device
        order = torch.randperm(len(real.images), generator=torch.Generator().manual_seed(0))
        held_out = 0 if test else min(num, len(real.images) // 2)
        self.test = test or real.at(order[:held_out])
        self.real = real.at(order[held_out : held_out + num])
        self.protocol = {
            "cas_tested_on": f"{len(self.test.images)} of {self.test.name} {self.test.split}"
            + ("" if test else ", which the generator was trained on"),
            "cas_real_images": len(self.real.images),
            "cas_images": num_images,
        }

    def floor(self) -> float:
        """After training on real images."""
        return self._after(self.real)

    def score(self, images: Tensor, labels: Tensor) -> float:
        """After training on generated uint8 images (N, C, H, W) of these classes."""
        return self._after(ImageSet(images, labels, self.real.class_names, "generated", "generated"))

    def _after(self, lessons: ImageSet) -> float:
        network = fit(lessons, num_images=self.num_images, seed=self.seed, device=self.device)
        return accuracy(network, self.test, self.device)
