"""Images as points of a plane: by their features' principal components, and by t-SNE (van der Maaten 2008)."""

import torch
from torch import Tensor

from gantool.metrics.embedding import Embedding

_TSNE_INPUTS = 50  # principal components that t-SNE starts from, as its authors do
KNOWS_CLASSES = 0.9  # share of real images an extractor must classify rightly for its word on generated ones to count


def principal_components(points: Tensor, count: int) -> tuple[Tensor, list[float]]:
    """(N, min(count, F)) float64 coordinates of (N, F) points, and the share of the variance along each."""
    from sklearn.decomposition import PCA

    pca = PCA(min(count, *points.shape), svd_solver="full")
    return torch.from_numpy(pca.fit_transform(points.double().numpy())), pca.explained_variance_ratio_.tolist()


def tsne(points: Tensor, *, perplexity: float, seed: int) -> Tensor:
    """(N, 2) float64 from (N, F), N above the perplexity; starts from the principal components."""
    from sklearn.manifold import TSNE

    inputs, _ = principal_components(points, _TSNE_INPUTS)
    return torch.from_numpy(
        TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(inputs.numpy())
    ).double()


def predicted_classes(made: Embedding, real: Embedding, labels: Tensor, num_classes: int) -> Tensor | None:
    """(M,) int64 classes of generated images by the extractor; None where it does not know the data's classes: it has
    others or none, as the data may have, or gets more than a tenth of the real images, whose classes are `labels` (N,),
    wrong."""
    if not num_classes or real.logits.shape[1] != num_classes:
        return None
    right = float((real.logits.argmax(1) == labels).double().mean())
    return made.logits.argmax(1) if right >= KNOWS_CLASSES else None
