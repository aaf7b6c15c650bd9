"""CLIP (Radford 2021) as features: a space that ImageNet's classes did not shape (Kynkäänniemi 2023)."""

from pathlib import Path

import torch
from torch import Tensor

from gantool.metrics.features import Features, resized, standardised
from gantool.metrics.weights import Published, read_tensors

COLOURS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class CLIPFeatures(Features):
    """The image embedding (N, 512) of OpenAI's ViT-B/32, the network of Kynkäänniemi 2023. There are no classes.

    `weights`: OpenAI's file, or named tensors of the same layout (visual.conv1.weight, ...) as torch or safetensors
    keep them; None: downloaded once, 354 MB. Raises GantoolError where it cannot be had or is another.
    """

    published: Published = Published(
        "the weights of CLIP's image network",
        "https://openaipublic.azureedge.net/clip/models/"
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
        "give OpenAI's ViT-B-32.pt, or tensors of its names, with features=clip features.weights=FILE",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    )
    name = "clip"
    num_features = 512
    has_classes = False
    resize = "bicubic with antialias to 224"

    def __init__(self, weights: str | Path | None = None) -> None:
        from torch_fidelity.feature_extractor_clip import VisionTransformer

        super().__init__()
        path = self.published.file(weights)
        digest = self.published.hash(path)
        self.weights_hash = digest[:8]
        with self.published.reading(path):
            # OpenAI's own file, told by its checksum, is a program; no other program is run.
            found = torch.jit.load(path, "cpu").state_dict() if digest == self.published.sha256 else read_tensors(path)
            network = VisionTransformer(224, 32, width=768, layers=12, heads=12, output_dim=self.num_features)
            own = {key.removeprefix("visual."): value for key, value in found.items() if key.startswith("visual.")}
            network.load_state_dict(own)
        self.network = network
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(standardised(resized(images, 224), COLOURS))
        return features, features[:, :0]
