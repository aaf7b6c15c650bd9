"""Weights & Biases; WANDB_MODE=offline keeps its files beside the run, `wandb sync` sends them later."""

import logging
from collections.abc import Mapping
from pathlib import Path

from gantool.game import Progress
from gantool.logging.record import Record
from gantool.logging.tracker import Sent, Tracker

log = logging.getLogger(__name__)


class WandB(Tracker):
    """Scalars, images and histograms as a run of `project` (and `entity`), named as the run folder or `name`. Steps are
    images seen. Where it is sent to, and by whom, the variables of wandb say (WANDB_API_KEY, WANDB_MODE)."""

    needs = "wandb"

    def __init__(
        self,
        run_dir: Path,
        *,
        first: int,
        hparams: Mapping[str, object],
        config_text: str,
        project: str = "gantool",
        entity: str | None = None,
        name: str | None = None,
    ) -> None:
        import wandb

        self.sent, self.wandb = Sent(run_dir, "wandb", first), wandb
        self.run = wandb.init(
            project=project,
            entity=entity,
            name=name or run_dir.name,
            id=self.sent.id,
            resume="allow",
            dir=str(run_dir),
            config={**hparams, "configuration": config_text},
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.sent.id = self.run.id
        for link in run_dir.glob("wandb/*/logs/debug-core.log"):  # to ~/.cache: a run's folder is whole without it
            link.unlink(missing_ok=True)

    def write(self, record: Record, progress: Progress) -> None:
        if not self.sent.is_new(progress):
            return
        values: dict[str, object] = dict(record.scalars)
        for tag, image in record.images.items():
            values[tag] = self.wandb.Image(image.permute(1, 2, 0).squeeze(-1).numpy())
        for tag, numbers in record.histograms.items():
            finite = numbers.detach().flatten().float().cpu()
            finite = finite[finite.isfinite()]
            if len(finite):
                values[f"{tag}/histogram"] = self.wandb.Histogram(finite.numpy())
        self.run.log(values, step=progress.nimg)
        self.sent.save()

    def rewind(self, progress: Progress) -> None:
        log.warning(
            "logger=wandb keeps the old curve from %g to %g kimg, which the run repeats, as wandb takes no step twice: "
            "metrics.jsonl has the new one",
            progress.nimg / 1000,
            self.sent.nimg / 1000,
        )

    def close(self) -> None:
        self.run.finish()
