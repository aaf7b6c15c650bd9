"""gantool interpolate: what a trained run makes on the way from one latent to the next, as a grid and an animation."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import torch
from omegaconf import DictConfig
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor

from gantool.commands.run_folder import load_run, read_options
from gantool.commands.sample import chosen_classes
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
    """Writes path.png (a row for each pair of latents), path.gif (there and back), and a PNG for each traversal of a
    latent's codes. Raises GantoolError for the user's mistakes."""
    options = read_options(cfg, Options)
    if options.rows * options.steps > _LARGEST:
        raise GantoolError(f"rows={options.rows} steps={options.steps}: at most {_LARGEST} images in all")
    run = load_run(options.run, ema=options.ema, device=options.device, checkpoint=options.checkpoint)
    if not isinstance(run.game, GAN):
        raise GantoolError(f"{run.folder} translates images: it has no latent to interpolate")
    classes = chosen_classes(run, options.classes)
    seed_torch("interpolate", options.seed)
    nothing = Batch(torch.zeros(options.rows, *run.shape, device=run.device))
    start, end = run.game.latent.sample(nothing), run.game.latent.sample(nothing)
    walk = {"spherical": spherical, "linear": torch.lerp}[options.path]
    places = torch.linspace(0, 1, options.steps).tolist()
    z = torch.stack([walk(start, end, place) for place in places], 1)  # (rows, steps, dim)
    labels = torch.tensor([classes[i % len(classes)] for i in range(options.rows)]) if classes else None
    columns = [
        run.game.generate(z[:, step], None if labels is None else labels.to(run.device), run.generators)
        for step in range(options.steps)
    ]
    name = f"{run.nimg / 1000:010.3f}-seed{options.seed}-{options.path}"
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
