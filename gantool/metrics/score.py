"""What a score is: one class, which says how far generated images are from real ones, or how near."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from gantool.metrics.embedding import Embedding


class Score(ABC):
    """A number for generated images, given real ones. Only `__call__` must be written; say the rest where it differs.

    A score of one's own is such a class and a file conf/score/KIND.yaml: `KIND: {_target_: module.Class}`. The real
    images' floor is the same call with held-out real images as the generated ones.
    """

    higher_is_better: bool = False
    of_features: bool = True  # False: measured of the images alone, so that its name is KIND whatever the features
    needs_images: bool = False  # embeddings carry images too, and labels where there are any
    needs_labels: bool = False  # refused for unlabelled data, before any network runs
    needs_classes: bool = False  # refused for features without logits
    needs_covariance: bool = False  # warned of where there are fewer images than features
    fewest: int = 2  # images needed on each side

    @abstractmethod
    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """Of generated images against real ones; `seed` is for what is drawn, and so is torch's random state."""

    @property
    def details(self) -> Mapping[str, object]:
        """Settings that the protocol tells: numbers, words and None that the score keeps under names of its own."""
        own = {name: value for name, value in vars(self).items() if name not in vars(Score) and name[0] != "_"}
        return {name: value for name, value in own.items() if isinstance(value, bool | int | float | str | None)}
