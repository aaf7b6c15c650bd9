"""Instance noise (Sønderby 2017; Arjovsky & Bottou 2017): Gaussian noise on real and fake alike, until they part."""

from torch import Tensor

from gantool.batch import Draws
from gantool.errors import GantoolError
from gantool.game import Augment, Progress


class InstanceNoise(Augment):
    """Adds noise whose standard deviation falls straight from `std` to 0 over the fraction `until` of the run."""

    alike_on_pairs = False

    def __init__(self, std: float = 0.1, until: float = 0.5) -> None:
        if std < 0 or not 0 < until <= 1:
            raise GantoolError(
                f"augment.std={std}, augment.until={until}: a standard deviation, and a fraction of the run above 0"
            )
        self.start, self.until, self.std = std, until, std

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), no longer in [-1, 1]."""
        return images + self.std * draws.randn(*images.shape[1:]) if self.std else images

    def begin_round(self, progress: Progress) -> None:
        self.std = self.start * max(0.0, 1 - progress.nimg / (self.until * max(progress.total, 1)))

    def scalars(self) -> dict[str, float]:
        return {"augment/std": self.std}
