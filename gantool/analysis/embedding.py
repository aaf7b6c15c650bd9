"""Images as points of a plane: by their features' principal components, and by t-SNE (van der Maaten 2008)."""

import torch
from torch import Tensor

from gantool.metrics.embedding import Embedding

_TSNE_INPUTS = 50  # principal components that t-SNE starts from, as its authors do
KNOWS_CLASSES = 0.9  # share of real images an extractor must classify rightly for its word on generated ones to count


def principal_components(points: Tensor, count: int) -> tuple[Tensor, list[float]]:
    """(N, min(count, F)) float64 coordinates of (N, F) points, and the share of the variance along each.

    An axis points to where its largest weight is positive, so that nothing is left to chance.
    """
    centred = points.double() - points.double().mean(0)
    variances, axes = torch.linalg.eigh(centred.T @ centred)
    axes = with_fixed_signs(axes.flip(1).T)[:count]
    shares = variances.flip(0)[:count].clamp(min=0) / variances.sum().clamp(min=1e-300)
    return centred @ axes.T, shares.tolist()


def with_fixed_signs(vectors: Tensor) -> Tensor:
    """The rows, each turned so that its largest component by size is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * torch.where(largest < 0, -1, 1)


def tsne(points: Tensor, *, perplexity: float, seed: int) -> Tensor:
    """(N, 2) float64 from (N, F), N above the perplexity; starts from the principal components."""
    from sklearn.manifold import TSNE

    inputs, _ = principal_components(points, _TSNE_INPUTS)
    return torch.from_numpy(
        TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(inputs.numpy())
    ).double()


def predicted_classes(made: Embedding, real: Embedding, labels: Tensor, num_classes: int) -> Tensor | None:
    """(M,) int64 classes of generated images by the extractor; None where it does not know the data's classes: it has
    others, or gets more than a tenth of the real images, whose classes are `labels` (N,), wrong."""
    if real.logits.shape[1] != num_classes:
        return None
    right = float((real.logits.argmax(1) == labels).double().mean())
    return made.logits.argmax(1) if right >= KNOWS_CLASSES else None
