"""The latents behind images: found by gradients through the generator, from the best of many random ones."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from gantool.batch import Draws
from gantool.errors import GantoolError
from gantool.files import whole
from gantool.game import FeatureDiscriminator
from gantool.games.gan import GAN
from gantool.latents import Structured
from gantool.logging.progress import follow_steps
from gantool.randomness import seed_torch
from gantool.runs.trained import TrainedRun
from gantool.sampling import filled
from gantool.screen import shown

log = logging.getLogger(__name__)

NAME = "latents.safetensors"
_BATCH = 64  # random latents that are looked at together
_NOISE = 0.05  # of the search, at its start, in units of a latent: standard deviations of a normal one


@dataclass(frozen=True)
class Projected:
    """What was found for N images."""

    z: Tensor  # (N, latent dim)
    labels: Tensor | None  # (N,) int64 of a conditional run, (N, K) float32 where they are vectors
    images: Tensor  # (N, C, H, W) in [-1, 1]: what the generator makes of them
    errors: Tensor  # (N,) root mean square over pixels, of [-1, 1]

    def save(self, folder: Path, run: TrainedRun) -> None:
        """Writes latents.safetensors (z, labels, and whose they are) and latents.npz (the same, and errors)."""
        labels = {} if self.labels is None else {"labels": self.labels.cpu()}
        arrays = {"z": self.z.cpu().contiguous(), **labels}
        with whole(folder / NAME) as partial:
            save_file(arrays, partial, {"run": _whose(run)})
        numbers: dict[str, Any] = {name: value.numpy() for name, value in arrays.items()}
        with whole(folder / "latents.npz") as partial:
            np.savez(partial, errors=self.errors.cpu().numpy(), **numbers)


def _whose(run: TrainedRun) -> str:
    """Which generator makes the images of some latents, in words."""
    return f"{run.folder.resolve().name} at {run.nimg / 1000:g} kimg, ema={str(run.ema).lower()}"


def _newest(folder: Path) -> Path:
    """The latents in `folder`, or in the folder below it that was written last."""
    below = sorted(folder.glob(f"[!.]*/{NAME}"), key=lambda path: (path.stat().st_mtime, path))
    if (folder / NAME).exists() or not below:
        return folder / NAME
    others = f", the newest of {len(below)}" if len(below) > 1 else ""
    log.info("using the latents of %s%s", below[-1].parent, others)
    return below[-1]


def load_latents(path: Path, run: TrainedRun, dim: int) -> tuple[Tensor, Tensor | None]:
    """z (N, dim) and labels as `save` wrote them; of a folder of such folders, the newest one's, which is told.
    Raises GantoolError for a file of another kind, and of a run with other latents or labels; tells where they are of
    another run or checkpoint, whose images are others."""
    path = _newest(path) if path.is_dir() else path
    try:
        found = load_file(path, str(run.device))
        with safe_open(path, "pt") as file:
            whose = (file.metadata() or {}).get("run", _whose(run))
    except Exception as error:  # what safetensors raises for other bytes
        raise GantoolError(
            f"latents={path} cannot be read: name the folder or file that gantool project wrote"
        ) from error
    z, labels = found.get("z"), found.get("labels")
    if z is None or z.dim() != 2 or z.shape[1] != dim or (labels is None) != (run.labelled.num == 0):
        raise GantoolError(f"latents={path} are of another run: {run.folder} has latents of {dim} numbers")
    if whose != _whose(run):
        log.warning("note: latents=%s are of %s; %s makes other images of them", path, shown(whose), _whose(run))
    if labels is None:
        return z.float(), None
    if not (len(z) and run.labelled.knows(labels, len(z))):
        raise GantoolError(f"latents={path}: its labels are not those of {run.folder}")
    return z.float(), run.labelled.given(labels, len(z), run.folder)


def project(
    game: GAN,
    run: TrainedRun,
    images: Tensor,
    *,
    labels: Tensor | None,
    seed: int,
    steps: int,
    starts: int,
    lr: float,
    feature_weight: float,
) -> Projected:
    """The latents whose images come closest to (N, C, H, W) in [-1, 1]: in the mean square of pixels, and with
    `feature_weight` of the discriminator's features, each as a share of what random images are off.

    The best of `starts` random latents, at least one for each of `labels`, is followed down for `steps` steps of Adam
    at `lr`, which falls to zero and is in units of the latent's noise; normal latents are kept as long as such are.
    Codes of a latent stay as the best start had them. Seeds torch.
    """
    seed_torch("project", seed)
    search = _Search(game, run, images, feature_weight)
    z, labels = search.best_starts(max(starts, 0 if labels is None else len(labels)), labels)
    latent, fixed = game.latent, z.clone()
    unit = latent.noise_std if isinstance(latent, Structured) else 1.0
    free = latent.normal or (latent.noise.dim if isinstance(latent, Structured) else latent.dim)
    part = z[:, :free].clone().requires_grad_(True)
    length = part.detach().norm(dim=1, keepdim=True)
    optimizer = torch.optim.Adam([part], lr=unit * lr)
    best, lowest = z.clone(), torch.full((len(z),), float("inf"), device=z.device)
    for step in follow_steps(range(steps)):
        left = 1 - step / steps
        optimizer.param_groups[0]["lr"] = unit * lr * min(1.0, 4 * left)
        moved = part + unit * _NOISE * max(0.0, left - 0.25) * torch.randn_like(part)
        whole_z = torch.cat([moved, fixed[:, free:]], 1)
        distance = search.distance(whole_z, labels)
        with torch.no_grad():
            better = distance < lowest
            lowest = torch.where(better, distance, lowest)
            best = torch.where(better[:, None], whole_z, best)
        optimizer.zero_grad()
        distance.sum().backward()
        optimizer.step()
        with torch.no_grad():  # in many dimensions normal latents lie close to one sphere
            part.copy_(length * part / part.norm(dim=1, keepdim=True) if latent.normal else part.clamp(-unit, unit))
    with torch.no_grad():
        made = game.generate(best, labels, run.generators)
        errors = (made - images).square().flatten(1).mean(1).sqrt()
    return Projected(best.detach(), labels, made, errors)


class _Search:
    """How far what is made of latents is from the images."""

    def __init__(self, game: GAN, run: TrainedRun, images: Tensor, feature_weight: float) -> None:
        self.game, self.run, self.images, self.weight = game, run, images, feature_weight
        network = game.discriminator
        self.network = network if feature_weight and isinstance(network, FeatureDiscriminator) else None
        if feature_weight and self.network is None:
            raise GantoolError(f"{run.folder}: its discriminator has no features; say feature_weight=0")
        self.scales = torch.ones(2, len(images), device=images.device)  # of pixels and features, for each image

    def features(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """(N, F) of the discriminator."""
        assert self.network is not None
        return self.network.features(self.game.shrunk(images), labels).flatten(1).float()

    def parts(self, z: Tensor, labels: Tensor | None, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) mean squares of pixels and of features."""
        made = self.game.generate(z, labels, self.run.generators)
        pixels = (made - images).square().flatten(1).mean(1)
        if self.network is None:
            return pixels, torch.zeros_like(pixels)
        theirs = self.features(images, labels).detach()
        return pixels, (self.features(made, labels) - theirs).square().mean(1)

    def distance(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """(N,): of pixels and features, each 1 where it is as far as random images are."""
        pixels, features = self.parts(z, labels, self.images)
        return pixels / self.scales[0] + self.weight * features / self.scales[1]

    @torch.no_grad()
    def best_starts(self, starts: int, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """For each image the closest of `starts` random latents, and its label."""
        device = self.run.device
        z = torch.cat(
            [self.game.latent.sample(Draws(min(_BATCH, starts - at), device)) for at in range(0, starts, _BATCH)]
        )
        labels = None if labels is None else filled(labels.to(device), starts)
        found = []
        for number, image in enumerate(self.images):
            parts: list[tuple[Tensor, Tensor]] = []
            for rows in torch.arange(starts, device=device).split(_BATCH):
                own = None if labels is None else labels[rows]
                parts.append(self.parts(z[rows], own, image.expand(len(rows), -1, -1, -1)))
            pixels, features = (torch.cat(side) for side in zip(*parts, strict=True))
            for side, values in enumerate((pixels, features)):
                self.scales[side, number] = values.mean() or 1.0
            of_pixels, of_features = self.scales[:, number]
            found.append(int((pixels / of_pixels + self.weight * features / of_features).argmin()))
        return z[found], None if labels is None else labels[found]
