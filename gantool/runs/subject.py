"""What gantool embed and gantool explain share: a run of a GAN, its training images, and where results go."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gantool.commands.build import make
from gantool.runs.trained import TrainedRun, load_run
from gantool.runs.sampling import chosen_classes
from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.games.gan import GAN

log = logging.getLogger(__name__)

T = TypeVar("T")


class RunKeys(BaseModel):
    """The keys that both commands have."""

    model_config = ConfigDict(strict=True, extra="forbid")

    run: str | None
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    classes: list[Annotated[int, Field(ge=0)]] | Annotated[int, Field(ge=0)] | None
    ema: bool
    checkpoint: Literal["newest", "best"]
    device: str
    out: str | None


@dataclass(frozen=True)
class Analysed:
    """A run whose game is a GAN."""

    run: TrainedRun
    game: GAN
    classes: list[int]  # that its images take in turn; [] for an unconditional run
    image_set: ImageSet

    @property
    def headline(self) -> str:
        """Which run at which point, for the titles of figures."""
        return f"{self.run.folder.name} at {self.run.nimg / 1000:g} kimg"

    def pool(self, only: list[int]) -> Tensor:
        """(n,) rows of the training images, of the classes in `only` where it names any."""
        labels = self.image_set.labels
        if labels is None or not only:
            return torch.arange(len(self.image_set.images))
        return torch.isin(labels, torch.tensor(only)).nonzero()[:, 0]


def open_run(options: RunKeys, command: str) -> Analysed:
    """Raises GantoolError for a folder without a usable run, for another kind of game, and for an unknown class."""
    run = load_run(options.run, ema=options.ema, device=options.device, checkpoint=options.checkpoint)
    if not isinstance(run.game, GAN):
        raise GantoolError(f"{run.folder} translates images: gantool {command} is for runs that make them from latents")
    classes = chosen_classes(run, options.classes)
    dataset = run.plain["dataset"]
    image_set = prepare(make(dataset["source"]), on_bad_image=dataset["on_bad_image"])
    return Analysed(run, run.game, classes, image_set)


@contextmanager
def results(analysed: Analysed, options: RunKeys, folder: str) -> Iterator[Path]:
    """The folder to write into, made; what goes wrong there becomes a GantoolError."""
    run = analysed.run
    name = f"{run.nimg / 1000:010.3f}-seed{options.seed}"
    out = Path(options.out).expanduser() if options.out else run.folder / folder / name
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield out
    except OSError as error:
        raise GantoolError(f"cannot write {out} ({error.strerror or error}): make room or choose out=FOLDER") from error


def progress(steps: Sequence[T]) -> Iterator[T]:
    """The steps of long work, with a line on how far it is at most every five seconds."""
    started = last = time.monotonic()
    for done, step in enumerate(steps, 1):
        yield step
        if (now := time.monotonic()) - last > 5:
            log.info("%d of %d, %.0f s left", done, len(steps), (now - started) * (len(steps) - done) / done)
            last = now
