"""Notices a run that goes wrong: samples that grow alike, a discriminator that runs away, losses that explode."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from gantool.batch import Batch
from gantool.game import Game, Progress
from gantool.logging.record import Record
from gantool.randomness import forked
from gantool.ranks import average
from gantool.training.measurements import Measurements

_REMEMBERED = 20  # readings back that a median is taken over
_FEWEST = 4  # readings before there is a usual
_HUGE = 1e6  # of a gradient: healthy WGAN critics were seen at 200
_SEPARATED = 0.999  # share of (real, fake) pairs that the discriminator ranks rightly
_SCORES = 512  # of each side: 262 thousand pairs


class Watchdog:
    """watchdog/diversity: how far apart samples of fixed latents are, against real images; watchdog/separation: how
    surely scores tell real from fake, against 1 for always and 0.5 for never.

    Three signs: *collapse*, a diversity below the fraction `diversity` of the highest so far; *saturation*, a
    discriminator that ranks every pair rightly, by a margin that is wider than ever before (a healthy one's is widest
    early); *explosion*, a gradient norm more than `explosion` times its median over the last readings, or huge. Scores
    of any scale are alike. A collapse must last for `patience` looks; the other two for as many readings, of what
    `measured` handed back, and they stand as they were meanwhile. `act` is told of each sign once it has lasted, and
    `keep` is called, by `end_look`, after each look that sees none and is not half-way to a collapse: both on every
    rank. `memory` is the watchdog's only state, plain and part of the checkpoint.
    """

    def __init__(
        self,
        batch: Batch,
        measured: Measurements,
        memory: dict[str, Any],
        *,
        by_class: bool = False,
        patience: int = 3,
        diversity: float = 0.5,
        explosion: float = 30.0,
        act: Callable[[str, Progress], None],
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        self.batch, self.measured, self.memory = batch, measured, memory
        self.patience, self.diversity, self.explosion = patience, diversity, explosion
        self.labels = batch.labels if by_class else None
        self.real = spread(batch.images, self.labels) or 1.0  # of a data set of one image over and over
        self.act, self.keep = act, keep
        self.is_well = False
        for name in ("lasted", "norms", "margins"):
            self.memory.setdefault(name, {})
        self.memory.setdefault("readings", self.memory.pop("looks", 0))  # as earlier versions called them

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """Scalars for the log; raises what `act` raises."""
        device = self.batch.images.device
        with forked(device):
            torch.manual_seed(0)
            diversity = spread(game.sample(self.batch.request, generators), self.labels) / self.real
        sides = pairs(self.measured.scores)
        seen = torch.tensor([diversity, *(separation(*pair) for pair in sides.values())], device=device)
        average([seen])  # so that all ranks come to the same end
        diversity, *separations = seen.tolist()
        shares = dict(zip(sides, separations, strict=True))
        record = Record({"watchdog/diversity": diversity})
        record.scalars |= {f"watchdog/separation{side}": share for side, share in shares.items()}
        signs, lasted = {"collapse": self._collapse(diversity)}, self.memory["lasted"]
        if self.measured.latest_at != self.memory.get("judged_at", 0):
            self.memory |= {"judged_at": self.measured.latest_at, "readings": self.memory["readings"] + 1}
            signs["explosion"] = self._explosion()
            signs |= {f"saturation{side}": self._saturation(side, share) for side, share in shares.items()}
        for sign, evidence in signs.items():
            lasted[sign] = lasted.get(sign, 0) + 1 if evidence else 0
            if evidence and lasted[sign] == self.patience:
                times = "checks" if sign == "collapse" else "readings"
                self.act(f"{sign}: {evidence}, {self.patience} {times} in a row", progress)
        self.is_well = not any(lasted.values()) and diversity >= (1 + self.diversity) / 2 * self.memory["best"]
        return record

    def end_look(self) -> None:
        """Once what a look saw is in the files of the log: a run goes on from a state that is kept, not before it."""
        if self.is_well:
            self.keep()

    def _collapse(self, diversity: float) -> str | None:
        best = self.memory["best"] = max(self.memory.get("best", 0.0), diversity)
        if not diversity < self.diversity * best and diversity == diversity:
            return None
        return f"samples of fixed latents are {diversity:.2f} times as diverse as real images, {best:.2f} at best"

    def _explosion(self) -> str | None:
        for tag, norm in self.measured.latest.items():
            if not tag.startswith("gradient_norm/"):
                continue
            norms = self.memory["norms"].setdefault(tag, [])
            usual = median(norms) if len(norms) >= _FEWEST else None
            self.memory["norms"][tag] = [*norms, norm][-_REMEMBERED:]
            if not norm <= _HUGE:
                return f"{tag} is {norm:.3g}"
            if usual and norm > self.explosion * usual:
                return f"{tag} is {norm:.3g}, usually {usual:.3g}"
        return None

    def _saturation(self, side: str, separation: float) -> str | None:
        real, fake = (self.measured.latest.get(f"discriminator_score/{kind}{side}") for kind in ("real", "fake"))
        if real is None or fake is None:
            return None
        margin, before = real - fake, self.memory["margins"].get(side, 0.0)
        self.memory["margins"][side] = max(margin, before)
        began = self.memory["readings"] > _FEWEST  # every discriminator learns fast at first
        if not began or separation < _SEPARATED or margin <= before:
            return None
        return f"the discriminator separates all real images from fakes by {margin:.3g}, before by {before:.3g} at most"


def spread(images: Tensor, labels: Tensor | None = None) -> float:
    """The mean distance between two of (N, C, H, W) images; with labels (N,), between two of one class."""
    pixels = images.float().flatten(1)
    distances = torch.cdist(pixels, pixels)
    other = ~torch.eye(len(pixels), dtype=torch.bool, device=pixels.device)
    if labels is not None:
        other &= labels[:, None] == labels[None]
    return float(distances[other].mean())


def separation(real: Tensor, fake: Tensor) -> float:
    """The share of pairs whose real score is the higher one, whatever their scale: 1 for a discriminator that is never
    wrong, 0.5 for one that guesses."""
    real, fake = real.flatten()[:_SCORES], fake.flatten()[:_SCORES]
    return float((real[:, None] > fake[None]).float().mean())


def pairs(scores: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Real and fake scores that belong together, by what follows 'real' in their names ('real', 'real_a')."""
    sides = [name.removeprefix("real") for name in scores if name.startswith("real")]
    return {side: (scores[f"real{side}"], scores[f"fake{side}"]) for side in sides if f"fake{side}" in scores}
