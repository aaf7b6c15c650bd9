"""gantool interpolate: what a trained run makes on the way from one latent, or class, to the next, as a grid and an
animation."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from gantool.runs.trained import TrainedRun, load_run, read_options
from gantool.runs.sampling import chosen_classes
from gantool.errors import GantoolError
from gantool.game import Batch
from gantool.games.gan import GAN
from gantool.logging.grid import grid, save_png
from gantool.training.randomness import seed_torch

log = logging.getLogger(__name__)

FRAME_MILLISECONDS = 80
_LARGEST = 4096  # images


class Options(BaseModel):
    """The keys of conf/interpolate.yaml."""

    model_config = ConfigDict(strict=True, extra="forbid")

    run: str | None
    over: Literal["latents", "classes"]
    path: Literal["spherical", "linear"]
    rows: PositiveInt
    steps: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    classes: list[Annotated[int, Field(ge=0)]] | Annotated[int, Field(ge=0)] | None
    ema: bool
    checkpoint: Literal["newest", "best"]
    device: str
    out: str | None


@torch.no_grad()
def interpolate(cfg: DictConfig) -> None:
    """Writes path.png (a row for each pair of latents, or of classes), path.gif (there and back), and a PNG for each
    traversal of a latent's codes. Raises GantoolError for the user's mistakes."""
    options = read_options(cfg, Options)
    if options.rows * options.steps > _LARGEST:
        raise GantoolError(f"rows={options.rows} steps={options.steps}: at most {_LARGEST} images in all")
    run = load_run(options.run, ema=options.ema, device=options.device, checkpoint=options.checkpoint)
    if not isinstance(run.game, GAN):
        raise GantoolError(f"{run.folder} translates images: it has no latent to interpolate")
    classes = chosen_classes(run, options.classes)
    if options.over == "classes" and len(classes) < 2:
        raise GantoolError(f"over=classes goes from class to class: {run.folder} has {len(classes)} to choose from")
    labels = torch.tensor([classes[i % len(classes)] for i in range(options.rows)]) if classes else None
    labels = None if labels is None else labels.to(run.device)
    columns = between_classes(run, options, classes) if options.over == "classes" else between(run, options, labels)
    way = options.path if options.over == "latents" else "classes"
    name = f"{run.nimg / 1000:010.3f}-seed{options.seed}-{way}"
    out = Path(options.out).expanduser() if options.out else run.folder / "interpolated" / name
    try:
        out.mkdir(parents=True, exist_ok=True)
        save_png(grid(torch.stack(columns, 1).flatten(0, 1), options.steps), out / "path.png")
        save_gif([grid(column, round(options.rows**0.5) or 1) for column in columns], out / "path.gif")
        seed_torch("traversals", options.seed)
        some = Batch(torch.zeros(10, *run.shape, device=run.device), None if labels is None else labels[:1].expand(10))
        for code, (images, width) in run.game.pictures(some, run.generators).items():
            save_png(grid(images, width), out / f"{code.replace('/', '-')}.png")
    except OSError as error:
        raise GantoolError(f"cannot write {out} ({error.strerror or error}): make room or choose out=FOLDER") from error
    log.info("%d paths of %s at %g kimg: %s", options.rows, run.folder, run.nimg / 1000, out)


def latents(run: TrainedRun, options: Options) -> tuple[Tensor, Tensor]:
    """The two ends of each row, (rows, latent dim)."""
    assert isinstance(run.game, GAN), "interpolate has checked it"
    seed_torch("interpolate", options.seed)
    nothing = Batch(torch.zeros(options.rows, *run.shape, device=run.device))
    return run.game.latent.sample(nothing), run.game.latent.sample(nothing)


def places(options: Options) -> list[float]:
    """From 0 to 1, one for each step."""
    return torch.linspace(0, 1, options.steps).tolist()


def between(run: TrainedRun, options: Options, labels: Tensor | None) -> list[Tensor]:
    """(rows, C, H, W) at each step from one latent to another of the same label."""
    assert isinstance(run.game, GAN), "interpolate has checked it"
    start, end = latents(run, options)
    walk = {"spherical": spherical, "linear": torch.lerp}[options.path]
    return [run.game.generate(walk(start, end, place), labels, run.generators) for place in places(options)]


def between_classes(run: TrainedRun, options: Options, classes: list[int]) -> list[Tensor]:
    """(rows, C, H, W) at each step from a class to the next, the latent of a row staying as it is."""
    assert isinstance(run.game, GAN), "interpolate has checked it"
    z, _ = latents(run, options)
    turns = [(classes[i % len(classes)], classes[(i + 1) % len(classes)]) for i in range(options.rows)]
    start, end = torch.tensor(turns, device=run.device).unbind(1)
    columns = []
    for place in places(options):
        with blended(run.generators, run.num_classes, start, end, place):
            columns.append(run.game.generate(z, start, run.generators))
    return columns


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
    loop[0].save(path, save_all=True, append_images=loop[1:], duration=FRAME_MILLISECONDS, loop=0)
