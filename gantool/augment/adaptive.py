"""ADA (Karras 2020): augmentation with a probability that grows while the discriminator overfits.

The paper's pixel blitting, geometric and colour transformations, and cutout; not its filters and noise. The backward
pass of the sampling is deterministic on a CPU but not on a GPU, where trainer.deterministic=true refuses it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gantool.augment.transforms import GEOMETRY, cutout, draw, geometry, only, recolor, resample
from gantool.batch import Draws
from gantool.errors import GantoolError, check_choice
from gantool.game import Augment, Progress
from gantool.schedules import Schedule, at, parse_images

PARTS = ("blit", "geometry", "color", "cutout")
POLICY = {"blit": 1.0, "geometry": 1.0, "color": 1.0}  # the paper's


class Transforming(nn.Module, Augment):
    """Each transformation of a part happens to an image with the probability p times the part's share in `policy`.

    Raises GantoolError for an unknown part or an impossible share.
    """

    p: Tensor

    def __init__(self, policy: Mapping[str, float]) -> None:
        super().__init__()
        for part, share in policy.items():
            check_choice("augment.policy", part, PARTS)
            if not 0 <= share <= 1:
                raise GantoolError(f"augment.policy.{part}={share}: a share of the probability, from 0 to 1")
        self.policy = dict(policy)
        self.register_buffer("p", torch.zeros(()))

    def scalars(self) -> dict[str, float]:
        return {"augment/probability": self.p.item()}

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W) float32, where nothing happens bit for bit the same."""
        share = self.policy.get
        with torch.autocast(images.device.type, enabled=False):  # matrices of angles and places are not for bf16
            numbers = draw(draws, self.p, self.policy, *images.shape[2:])
            places, colours = numbers.split([GEOMETRY, numbers.shape[1] - GEOMETRY], 1)
            if share("blit") or share("geometry"):
                images = only((places != 0).any(1), resample(images, geometry(places)), images)
            if share("color"):
                images = only((colours != 0).any(1), recolor(images, colours), images)
            return cutout(images, draws, self.p * self.policy["cutout"]) if share("cutout") else images


class ADA(Transforming):
    """p starts at 0. Every `interval` rounds it moves by the images of those rounds over `rise` (the images in which it
    can go from 0 to 1): up if the mean sign of the scores of real images was above `target`, else down. The sign is
    taken about the score half-way between real and fake; a Wasserstein loss has none, and is refused."""

    reads_scores = True
    signs: Tensor  # their sum since p last moved, over this rank's images; averaged over the ranks after each round
    count: Tensor

    def __init__(
        self, policy: Mapping[str, float] = POLICY, target: float = 0.6, interval: int = 4, rise: str = "500kimg"
    ) -> None:
        super().__init__(policy)
        if interval < 1:
            raise GantoolError(f"augment.interval={interval}: a number of rounds, 1 or more")
        if not -1 <= target <= 1:
            raise GantoolError(f"augment.target={target}: a mean of signs, from -1 to 1")
        self.target, self.interval = target, interval
        self.rise = parse_images(rise, key="augment.rise")
        for name in ("signs", "count"):
            self.register_buffer(name, torch.zeros(()))

    def begin_round(self, progress: Progress) -> None:
        if progress.rounds % self.interval == 0:
            step = self.interval * (progress.nimg - progress.previous) / self.rise
            mean = self.signs / self.count.clamp(min=1)
            self.p.add_(step * torch.sign(mean - self.target)).clamp_(0, 1)
            self.signs.zero_()
            self.count.zero_()

    def observe(self, margins: Tensor) -> None:
        self.signs.add_(margins.sign().sum())
        self.count.add_(margins.numel())


class ScheduledADA(Transforming):
    """p is the `probability`, a number or a schedule, whatever the scores (Huang 2024). A schedule is cut off at 0
    and 1; raises GantoolError for a number outside."""

    def __init__(self, policy: Mapping[str, float] = POLICY, probability: float | Schedule = 0.0) -> None:
        super().__init__(policy)
        if not callable(probability) and not 0 <= probability <= 1:
            raise GantoolError(f"augment.probability={probability}: a number from 0 to 1, or a schedule")
        self.probability = probability

    def begin_round(self, progress: Progress) -> None:
        self.p.fill_(at(self.probability, progress.nimg, progress.total)).clamp_(0, 1)
