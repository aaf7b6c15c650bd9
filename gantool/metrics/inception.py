"""Features of FID and the Inception score: torch-fidelity's port of the network that Heusel 2017 used."""

import io
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gantool.errors import GantoolError
from gantool.images import colours
from gantool.metrics.features import Features, resized
from gantool.metrics.weights import Published, read_tensors

SIZE = 299  # pixels of a side that the network sees
RESIZE = {"legacy": "TensorFlow 1 bilinear without antialias to 299", "clean": "bicubic with antialias to 299"}


class InceptionFeatures(Features):
    """torch-fidelity's `inception-v3-compat`: pooled features (N, 2048) and unbiased logits (N, 1008).

    `weights`: torch-fidelity's weights file; None: the one in gantool's cache, downloaded once and checksummed.
    `resize`: to 299 x 299 `legacy`, as Heusel's code and torch-fidelity do (TensorFlow 1 bilinear, no antialias), or
    `clean`, as Parmar 2022 found sound (antialiased bicubic), under other names: fid_clean.
    Raises GantoolError where the weights are missing, damaged, of another layout or cannot be downloaded.
    """

    published: Published = Published(
        "the Inception weights",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "give the file with features=inception features.weights=FILE, or choose features=efficientnet",
        "6726825d",
    )
    name = "inception"
    num_features = 2048

    def __init__(self, weights: str | Path | None = None, resize: Literal["legacy", "clean"] = "legacy") -> None:
        super().__init__()
        if resize not in RESIZE:
            raise GantoolError(f"features.resize={resize}: choose legacy or clean")
        self.resize, self.suffix = RESIZE[resize], "_clean" if resize == "clean" else ""
        path = self.published.file(weights)
        self.weights_hash = self.published.hash(path)[:8]
        with self.published.reading(path):
            self.network = build(path)
        if resize == "clean":  # the network's own resizing ends at its first layer, and only there can it be replaced
            first = self.network.get_submodule("Conv2d_1a_3x3")
            first.register_forward_pre_hook(lambda *_: (self._resized,))
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = colours(images).expand(-1, 3, -1, -1)
        if self.suffix:
            self._resized = (resized(images, SIZE) - 128) / 128
            images = images[..., :1, :1]  # nothing is read of it but the number of images
        features, logits = self.network(images)
        return features, logits

    def score_name(self, kind: str) -> str:
        """FID, KID and the Inception score are of this network alone."""
        published = {"fd": "fid", "kd": "kid", "fd_infinity": "fid_infinity", "is": "inception_score"}
        return published.get(kind, f"{kind}_{self.name}") + self.suffix


def build(path: Path) -> torch.nn.Module:
    """The network with the weights of `path`, of which nothing but tensors is unpickled."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # The constructor unpickles whatever its file holds, so it gets a copy that holds only the tensors read here.
    tensors: Any = io.BytesIO()
    torch.save(read_tensors(path), tensors)
    tensors.seek(0)
    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
    )
