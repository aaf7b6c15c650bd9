"""VGG16 (Simonyan & Zisserman 2015) as features: the space of precision and recall in Kynkäänniemi 2019."""

from pathlib import Path

import torch
from torch import Tensor

from gantool.metrics.features import Features, resized, standardised
from gantool.metrics.weights import Published, read_tensors

SIZE = 224


class VGG16Features(Features):
    """torchvision's VGG16 trained on ImageNet: its second hidden layer after the ReLU (N, 4096), and logits (N, 1000).

    The authors used the same layer of weights of their own, so that their figures are near but not the same.
    `weights`: torchvision's file; None: downloaded once, 528 MB. Raises GantoolError where it cannot be had or is
    another.
    """

    published: Published = Published(
        "the VGG16 weights",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "give torchvision's file with features=vgg16 features.weights=FILE",
        "397923af",
    )
    name = "vgg16"
    num_features = 4096
    resize = f"bicubic with antialias to {SIZE}"

    def __init__(self, weights: str | Path | None = None) -> None:
        from torchvision.models import vgg16

        super().__init__()
        path = self.published.file(weights)
        self.weights_hash = self.published.hash(path)[:8]
        with self.published.reading(path), torch.device("meta"):  # 138 million weights need no first values
            network = vgg16(weights=None, init_weights=False)
            network.load_state_dict(read_tensors(path), assign=True)
        self.network = network.float()
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        *hidden, last = self.network.classifier
        x = self.network.avgpool(self.network.features(standardised(resized(images, SIZE)))).flatten(1)
        for layer in hidden[:5]:
            x = layer(x)
        return x, last(x)
