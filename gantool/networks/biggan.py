"""BigGAN's generator (Brock 2019, appendix B): a latent and a class embedding that speak to every block; 32, 64, 128
pixels. Its discriminator is that of networks/resnet.py.

Followed: the paper's widths (table 4 at 128 pixels, where width is 96); at 64 and 32 pixels those of the authors'
PyTorch code. As in that code, every weight but the embeddings has spectral norm, though with torch's epsilon of 1e-12
in place of 1e-6, which only a weight near zero would notice. Left out: the norms' standing statistics, for which the
paper runs the finished generator over many batches; images are made with the running ones, as by that code with
--G_eval_mode.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.errors import GantoolError, check_choice
from gantool.networks.conditional import ConditionalBatchNorm, PlainNorm
from gantool.networks.layers import LabelTable, apply_spectral_norm
from gantool.networks.norms import norm_2d
from gantool.networks.resnet import INITIALISATIONS, initialise, table, up_blocks
from gantool.shapes import Resolution, size_text

GENERATOR = {32: (4, 4, 4, 4), 64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1)}  # times width, from 4x4 on


class Generator(nn.Module):
    """Latent -> image.

    `hierarchical`: the latent is cut into equal chunks, one to start from and one for each block. `shared_dim`: numbers
    in the embedding of a class, one for the whole network; None: 128 where there are classes, 0: none. A block's chunk
    and the embedding give, through linear layers, the gains and biases of its batch norms; without either, norms have a
    table of them by class, or their own.
    Raises GantoolError for a resolution, latent or combination that it does not know.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 96,
        shared_dim: int | None = None,
        hierarchical: bool = True,
        attention: int | None = None,
        initialisation: str = "orthogonal",
    ) -> None:
        super().__init__()
        check_choice("model.generator.initialisation", initialisation, INITIALISATIONS)
        widths, self.first = table(GENERATOR, resolution, width, "biggan")
        if shared_dim is not None and not num_classes:
            raise GantoolError(
                f"model.generator.shared_dim={shared_dim}: there are no classes; add model.conditional=true"
            )
        shared_dim = (128 if num_classes else 0) if shared_dim is None else shared_dim
        if hierarchical and latent_dim % len(widths):
            raise GantoolError(
                f"model.latent.dim={latent_dim}: a hierarchical latent is cut into {len(widths)} equal chunks at "
                f"{size_text(resolution)} pixels: choose a multiple of it, or model.generator.hierarchical=false"
            )
        if hierarchical and num_classes and not shared_dim:
            raise GantoolError(
                "model.generator.shared_dim=0: a hierarchical latent goes with a shared embedding of the class: give "
                "it a size, or set model.generator.hierarchical=false"
            )
        self.chunk = latent_dim // len(widths) if hierarchical else latent_dim
        self.hierarchical = hierarchical
        self.shared = LabelTable(num_classes, shared_dim) if num_classes and shared_dim else None
        condition_dim = self.chunk * hierarchical + shared_dim * (self.shared is not None)

        def block_norm(size: int) -> nn.Module:
            if condition_dim:
                return ConditionalBatchNorm(size, *(nn.Linear(condition_dim, size, bias=False) for _ in range(2)))
            if num_classes:
                return ConditionalBatchNorm(size, *(LabelTable(num_classes, size) for _ in range(2)))
            return PlainNorm("batch", size)

        self.start = nn.Linear(self.chunk, widths[0] * math.prod(self.first))
        self.blocks = up_blocks(widths, block_norm, attention, self.first)
        self.norm = norm_2d("batch", widths[-1])
        self.image = nn.Conv2d(widths[-1], channels, 3, 1, 1)
        initialise(self, initialisation)
        apply_spectral_norm(self, embeddings=False)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, C, R, R) float32 in [-1, 1]."""
        first, *chunks = z.split(self.chunk, 1)
        label = labels if self.shared is None else self.shared(labels)
        conditions = [label] * len(self.blocks)
        if self.hierarchical:
            conditions = [chunk if label is None else torch.cat([label, chunk], 1) for chunk in chunks]
        x = self.start(first).unflatten(1, (-1, *self.first))
        for block, condition in zip(self.blocks, conditions, strict=True):
            x = block(x, condition)
        return torch.tanh(self.image(F.relu(self.norm(x))).float())
