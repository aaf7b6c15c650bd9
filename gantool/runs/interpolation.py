"""What a trained run makes on the way from one latent, or class, to the next."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gantool.batch import Draws
from gantool.files import whole
from gantool.games.gan import GAN
from gantool.randomness import seed_torch
from gantool.runs.sampling import class_names
from gantool.runs.trained import TrainedRun

FRAME_MILLISECONDS = 80


def latents(game: GAN, run: TrainedRun, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """The two ends of each row, (rows, latent dim)."""
    seed_torch("interpolate", seed)
    draws = Draws(rows, run.device)
    return game.latent.sample(draws), game.latent.sample(draws)


@torch.no_grad()
def between(
    game: GAN,
    run: TrainedRun,
    ends: tuple[Tensor, Tensor],
    labels: Tensor | tuple[Tensor, Tensor] | None,
    *,
    path: str,
    steps: int,
) -> list[Tensor]:
    """(rows, C, H, W) at each step from one latent to another, of one label a row, classes (rows,) or vectors
    (rows, n), or from one to another. A path that is `spherical` is so in the normal part of the latent; uniform
    numbers and codes go straight."""
    normal, places = game.latent.normal if path == "spherical" else 0, torch.linspace(0, 1, steps).tolist()
    (start, codes), (end, last_codes) = ((z[:, :normal], z[:, normal:]) for z in ends)
    walks = [torch.cat([spherical(start, end, p), torch.lerp(codes, last_codes, p)], 1) for p in places]
    if not isinstance(labels, tuple):
        return [game.generate(z, labels, run.generators) for z in walks]
    first, last = labels
    images = []
    for z, place in zip(walks, places, strict=True):
        if first.is_floating_point():
            images.append(game.generate(z, torch.lerp(first, last, place), run.generators))
            continue
        with blended(run.generators, run.num_classes, first, last, place):
            images.append(game.generate(z, first, run.generators))
    return images


@torch.no_grad()
def traversals(game: GAN, run: TrainedRun, labels: Tensor | None, seed: int) -> dict[str, tuple[Tensor, int]]:
    """Images and how many of them stand side by side, for each code of the latent."""
    seed_torch("traversals", seed)
    return game.traversals(Draws(10, run.device), labels, run.generators)


def row_names(run: TrainedRun, labels: Tensor | tuple[Tensor, Tensor] | None) -> list[str]:
    """What each row shows: the class of its `labels`, or the two that it goes between; [] where it has no class."""
    first, last = labels if isinstance(labels, tuple) else (labels, labels)
    if first is None or last is None or first.is_floating_point():
        return []
    names = class_names(run)
    turns = zip(first.tolist(), last.tolist(), strict=True)
    return [names[a] if a == b else f"{names[a]} to {names[b]}" for a, b in turns]


@contextmanager
def blended(network: nn.Module, num_classes: int, start: Tensor, end: Tensor, place: float) -> Iterator[None]:
    """Every table of classes in `network` gives the point at `place` between its rows `start` and `end` (N,), so that
    an image can lie between two classes."""

    def mix(table: nn.Module, asked: object, row: Tensor) -> Tensor:
        weight = table.weight
        assert isinstance(weight, Tensor)
        return torch.lerp(F.embedding(start, weight), F.embedding(end, weight), place)

    tables = [m for m in network.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == num_classes]
    hooks = [table.register_forward_hook(mix) for table in tables]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def spherical(start: Tensor, end: Tensor, place: float) -> Tensor:
    """The point at `place` in [0, 1] of the great circle from `start` to `end` (N, dim), lengths going over linearly
    (White 2016): a straight line passes through lengths that normal latents never have."""
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    a, b = start / lengths[0], end / lengths[1]
    angle = (a * b).sum(1, keepdim=True).clamp(-1, 1).acos()
    if bool((angle.sin() < 1e-6).any()):
        return torch.lerp(start, end, place)
    direction = (((1 - place) * angle).sin() * a + (place * angle).sin() * b) / angle.sin()
    return direction * torch.lerp(lengths[0], lengths[1], place)


def save_gif(frames: list[Tensor], path: Path) -> None:
    """(C, H, W) uint8 frames forward and back again, for ever."""
    images = [Image.fromarray(f[0].numpy() if len(f) == 1 else f.permute(1, 2, 0).numpy()) for f in frames]
    loop = images + images[-2:0:-1]
    with whole(path) as partial:
        loop[0].save(partial, save_all=True, append_images=loop[1:], duration=FRAME_MILLISECONDS, loop=0)
