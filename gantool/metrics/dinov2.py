"""DINOv2 (Oquab 2023) as features: the space of FD-DINOv2 (Stein 2023)."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gantool.errors import require
from gantool.metrics.features import Features, resized, standardised
from gantool.metrics.weights import Published, read_tensors

SIZES = {384: "vits14", 768: "vitb14", 1024: "vitl14"}  # by width
GRID = 16  # patches of 14 pixels on a side of 224


class DINOv2Features(Features):
    """The class token of Meta's ViT, whose size the file tells: ViT-B/14 (N, 768), ViT-L/14 (N, 1024). No classes.

    Scores carry the size: fd_dinov2_vitb14. Stein's figures are of ViT-L/14. `weights`: Meta's file; None: that of
    ViT-B/14, downloaded once, 346 MB. Needs pip install 'gantool[features]'. Raises GantoolError where it cannot be had
    or is another.
    """

    published: Published = Published(
        "the DINOv2 weights",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "give Meta's dinov2_vitb14_pretrain.pth, or that of vitl14, with features=dinov2 features.weights=FILE",
    )
    has_classes = False
    resize = f"bicubic with antialias to {14 * GRID}"

    def __init__(self, weights: str | Path | None = None) -> None:
        require("features", "timm", what="features=dinov2")
        from timm import create_model

        super().__init__()
        path = self.published.file(weights)
        self.weights_hash = self.published.hash(path)[:8]
        with self.published.reading(path):
            found = read_tensors(path)
            width, depth = found["cls_token"].shape[2], sum(key.endswith(".norm1.weight") for key in found)
            self.name, self.num_features = f"dinov2_{SIZES[width]}", width
            self.network = create_model(
                "vit_base_patch14_dinov2",
                img_size=14 * GRID,
                num_classes=0,
                embed_dim=width,
                depth=depth,
                num_heads=width // 64,
            )
            found.pop("mask_token")
            self.network.load_state_dict({**found, "pos_embed": on_grid(found["pos_embed"])})
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(standardised(resized(images, 14 * GRID)))
        return features, features[:, :0]


def on_grid(positions: Tensor) -> Tensor:
    """(1, 1 + n * n, F) to (1, 1 + GRID * GRID, F): the embeddings of the patches resized as Meta's code does."""
    side = round((positions.shape[1] - 1) ** 0.5)
    patches = positions[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    small = F.interpolate(patches, scale_factor=(GRID + 0.1) / side, mode="bicubic")  # 0.1 against rounding, as there
    return torch.cat([positions[:, :1], small.flatten(2).mT], 1)
