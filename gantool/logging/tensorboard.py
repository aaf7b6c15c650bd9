"""TensorBoard events of a run: scalars, images, histograms, configuration, hyper-parameters and chart layout."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gantool.game import Progress
from gantool.logging.record import Record
from gantool.logging.tracker import Tracker

# Title, tags, and whether the axis of gantool report is logarithmic (None: as the values are). Whatever shares a chart
# shares a unit; both players stand in every one of them.
CHARTS: tuple[tuple[str, str, bool | None], ...] = (
    ("Losses", r"loss/(?P<name>.+)/total$", None),
    ("Discriminator scores, mean", r"discriminator_score/(?P<name>.+)", False),
    ("Gradient norms", r"gradient_norm/(?P<name>.+)", None),
    ("Terms of the losses", r"loss/(?P<name>.+/(?!total$)[^/]+)", None),
    ("Learning rates", r"learning_rate/(?P<name>.+)", False),
    ("Images per second", r"speed/images_per_second(?P<name>)$", False),
    ("Diversity of fixed samples, separation of scores", r"watchdog/(?P<name>.+)", False),
)
LAYOUT = {
    "GAN": {title: ["Multiline", [tags.replace("?P<name>", "")]] for title, tags, _ in CHARTS},
    "scores": {
        "Fréchet distance (lower is better)": ["Multiline", ["metrics/(fid|fd_)"]],
        "Inception score (higher is better)": ["Multiline", ["metrics/(inception_score|is_)"]],
    },
}

# The HParams tab leaves a column empty unless every run in the folder names the same tags, so these are fixed.
HPARAM_METRICS = (
    "metrics/fd_digits",
    "metrics/is_digits",
    "metrics/fd_efficientnet",
    "metrics/is_efficientnet",
    "metrics/fid",
    "metrics/inception_score",
    "speed/images_per_second",
)


class TensorBoard(Tracker):
    """Writes to `run_dir`; hides what an earlier session left at step `first` or later.

    `hparams` are the columns of the HParams tab, which would show true as 1.0000.
    """

    def __init__(self, run_dir: Path, *, first: int, hparams: Mapping[str, object], config_text: str) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import custom_scalars
        from torch.utils.tensorboard.summary import hparams as hparam_summaries

        self.writer = SummaryWriter(str(run_dir), purge_step=first, flush_secs=20)
        self.scalar_tags: set[str] = set()
        self.finished = False
        # add_hparams and add_custom_scalars know no step or make a sub-run: their events are written here by hand.
        metrics = dict.fromkeys(HPARAM_METRICS, 0.0)
        columns = {key: value if type(value) in (str, int, float) else str(value) for key, value in hparams.items()}
        experiment, session_start, self.session_end = hparam_summaries(columns, metrics)
        self.events = self.writer._get_file_writer()
        for summary in (custom_scalars(LAYOUT), experiment, session_start):
            self.events.add_summary(summary, first)
        self.writer.add_text("config", f"```yaml\n{config_text}\n```", first)

    def write(self, record: Record, progress: Progress) -> None:
        """Everything in `record` at step `progress.nimg`."""
        step, self.finished = progress.nimg, progress.done
        self.scalar_tags |= record.scalars.keys()
        for tag, value in record.scalars.items():
            self.writer.add_scalar(tag, float(value), step)
        for tag, image in record.images.items():
            self.writer.add_image(tag, image.cpu(), step)
        for tag, values in record.histograms.items():
            # TensorBoard's loader shows neither of a scalar and a histogram that have one tag.
            tag = f"{tag}/histogram" if tag in self.scalar_tags else tag
            self._histogram(tag, values, step)

    def _histogram(self, tag: str, values: Tensor, step: int) -> None:
        values = values.detach().flatten().float().cpu()
        values = values[torch.isfinite(values)]
        if len(values):
            self.writer.add_histogram(tag, values, step, bins=64)  # type: ignore[arg-type]  # numpy's number of bins

    def flush(self) -> None:
        """Everything written so far is in the file."""
        self.writer.flush()

    def close(self) -> None:
        """Flush and close; the HParams tab calls a run that came to its end a success."""
        if self.finished:
            self.events.add_summary(self.session_end)
        self.writer.close()
