"""A score of one class: of its generated images against its real ones."""

from torch import Tensor

from gantool.metrics.embedding import Embedding
from gantool.metrics.score import Score


def are(label: int, labels: Tensor) -> Tensor:
    """(N,) bool: which are of class `label`, or where labels are vectors (N, K) have the attribute of this number."""
    return labels == label if labels.ndim == 1 else labels[:, label] == 1


class OfClass(Score):
    """`score` of the images with `label`, a class or an attribute, on both sides."""

    needs_images = needs_labels = True  # labels come with the images

    def __init__(self, score: Score, label: int) -> None:
        self._score, self.of_class = score, label
        self.fewest, self.parts, self.leaves_out = score.fewest, score.parts, score.leaves_out
        self.higher_is_better, self.needs_covariance = score.higher_is_better, score.needs_covariance
        self.needs_classes = score.needs_classes

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """Of the class alone."""
        return self._score(self._own(fake), self._own(real), seed)

    def margin(self, fake: Embedding, real: Embedding, seed: int, parts: int) -> float | None:
        """Of parts of the class."""
        return self._score.margin(self._own(fake), self._own(real), seed, parts)

    def _own(self, side: Embedding) -> Embedding:
        labels, label = side.labels, self.of_class
        assert labels is not None and label is not None, "the scorer refuses images without labels"
        return side.once(("class", label), lambda: side[are(label, labels).nonzero()[:, 0]])
