"""Features of digits for an honest offline score: a small classifier that ships with gantool (never called FID)."""

import hashlib
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from gantool.errors import GantoolError
from gantool.images import colours
from gantool.metrics.features import Features

WEIGHTS = Path(__file__).with_name("digits.safetensors")
SHA256 = "15d717c5a6c73440d558d03a4624c8b96eb96d340260f6f03d6e4a2ce0fd8cd3"


def to_32(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) to float32 grey (N, 1, 32, 32) in [0, 1]: 28 pixels are zero-padded, others resized."""
    x = colours(images).float() / 255
    if x.shape[1] == 3:
        x = (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    if x.shape[2:] == (28, 28):
        return F.pad(x, (2, 2, 2, 2))
    if x.shape[2:] == (32, 32):
        return x
    return F.interpolate(x, (32, 32), mode="bilinear", antialias=True).clamp(0, 1)


def convolution(num_in: int, num_out: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    layer = nn.Conv2d(num_in, num_out, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(num_out), nn.ReLU(inplace=True))


class DigitClassifier(nn.Module):
    """A convolutional network of 140 thousand weights on grey (N, 1, 32, 32) in [0, 1]."""

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(1, 32, size=5, stride=2),
            convolution(32, 32),
            nn.MaxPool2d(2),
            convolution(32, 64),
            convolution(64, 64),
            nn.MaxPool2d(2),
            convolution(64, 128),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(self.num_features, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 128) and logits (N, 10)."""
        features = self.body(images)
        return features, self.head(features)


class DigitFeatures(Features):
    """The shipped `DigitClassifier` as a feature extractor, for digits of any size, grey or RGB.

    Trained on the 60,000 digits of MNIST's train split by `python -m gantool.metrics.train_digits ROOT FILE`, which can
    be run again; 99.61 % of the 10,000 test digits are classified rightly. sha256 of the weights file:
    15d717c5a6c73440d558d03a4624c8b96eb96d340260f6f03d6e4a2ce0fd8cd3

    What 5,000 images score against the 5,000 of mnist-5k (fd_digits, is_digits): other training digits 0.14 to 0.21,
    9.8; test digits 0.17 to 0.21, 9.8; with noise of 16/255 5.4, 9.3; blurred by 1 pixel 13, 8.9; 7 missing 2.5, 8.9;
    100 digits over and over 3.0, 9.4; nothing but 3 115, 1.0; uniform noise 160, 1.1.
    """

    name = "digits"
    num_features = DigitClassifier.num_features
    class_names = tuple("0123456789")
    resize = "28 zero-padded to 32, other sizes bilinear with antialias to 32"

    def __init__(self) -> None:
        from safetensors.torch import load

        super().__init__()
        content = WEIGHTS.read_bytes() if WEIGHTS.is_file() else b""
        self.weights_hash = SHA256[:8]
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise GantoolError(f"{WEIGHTS} is damaged: install gantool again")
        self.network = DigitClassifier()
        self.network.load_state_dict(load(content))
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(to_32(images))
