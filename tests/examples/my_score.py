"""A score of one's own."""

from gantool.metrics.embedding import Embedding
from gantool.metrics.score import Score


class Brightness(Score):
    """How far apart the mean brightness of generated and real images is, of 255."""

    needs_images, of_features = True, False

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        assert fake.images is not None and real.images is not None, "needs_images"
        return abs(float(fake.images.float().mean() - real.images.float().mean()))
