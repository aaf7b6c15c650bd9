"""Trackio: runs in a local database (TRACKIO_DIR), or on a Hugging Face Space (TRACKIO_SPACE_ID)."""

import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from gantool.game import Progress
from gantool.logging.record import Record
from gantool.logging.tracker import Sent, Tracker


class Trackio(Tracker):
    """Scalars and images as a run of `project`, named as the run folder. Steps are images seen."""

    needs = "trackio"

    def __init__(
        self,
        run_dir: Path,
        *,
        first: int,
        hparams: Mapping[str, object],
        config_text: str,
        project: str = "gantool",
    ) -> None:
        import trackio

        self.sent, self.trackio = Sent(run_dir, "trackio", first), trackio
        self.sent.id = self.sent.id or f"{run_dir.name}-{secrets.token_hex(3)}"  # it knows runs by their names
        config = {**hparams, "configuration": config_text}
        start = partial(trackio.init, embed=False, auto_log_gpu=False, auto_log_cpu=False)
        self.run = start(project, self.sent.id, config=config, resume="allow")

    def write(self, record: Record, progress: Progress) -> None:
        if not self.sent.is_new(progress):
            return
        values: dict[str, object] = dict(record.scalars)
        for tag, image in record.images.items():
            values[tag] = self.trackio.Image(image.expand(3, -1, -1).permute(1, 2, 0).numpy())
        if values:
            self.run.log(values, step=progress.nimg)
        self.sent.save()

    def rewind(self, progress: Progress) -> None:
        self.sent.rewind(progress)  # it takes a step twice

    def close(self) -> None:
        self.run.finish()
