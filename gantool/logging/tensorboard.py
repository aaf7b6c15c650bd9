"""TensorBoard events of a run: scalars, images, histograms, configuration, hyper-parameters and chart layout."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantool.files import write_whole
from gantool.game import Progress
from gantool.logging.record import Record
from gantool.logging.tracker import Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

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

TICKED = 5  # columns of the HParams tab that are shown at once
PICTURES = "_"  # before the tags of pictures: TensorBoard sorts by them, and opens the first two groups alone


@contextmanager
def beside(folder: Path, name: str) -> Iterator["SummaryWriter"]:
    """Writes events that join those in `folder` once the block has ended well, in the place of what had this `name`.

    TensorBoard then shows them as a part of that run; in a folder of their own they would be another run.
    """
    from torch.utils.tensorboard import SummaryWriter

    with TemporaryDirectory() as made:
        with SummaryWriter(made, filename_suffix=f".{name}") as writer:
            yield writer
        (events,) = Path(made).glob("events.out.tfevents.*")
        for old in folder.glob(f"events.out.tfevents.*.{name}"):
            old.unlink()
        write_whole(folder / events.name, events.read_bytes())


class TensorBoard(Tracker):
    """Writes to `run_dir`; hides what an earlier session left at step `first` or later.

    `hparams` are columns of the HParams tab, which shows the first five and would show true as 1.0000; `metrics`, tags
    of scalars, are the others. It takes them from one run of a folder, so runs with other metrics leave theirs empty.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        first: int,
        hparams: Mapping[str, object],
        config_text: str,
        metrics: Sequence[str] = (),
    ) -> None:
        from tensorboard.plugins.hparams import metadata
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import custom_scalars
        from torch.utils.tensorboard.summary import hparams as hparam_summaries

        self.writer = SummaryWriter(str(run_dir), purge_step=first, flush_secs=20)
        self.scalar_tags: set[str] = set()
        self.finished = False
        # add_hparams and add_custom_scalars know no step or make a sub-run: their events are written here by hand.
        columns = {key: value if type(value) in (str, int, float) else str(value) for key, value in hparams.items()}
        experiment, session_start, self.session_end = hparam_summaries(
            columns, dict.fromkeys((*metrics, "speed/images_per_second"), 0.0)
        )
        plugin = experiment.value[0].metadata.plugin_data
        known = metadata.parse_experiment_plugin_data(plugin.content)
        for info in known.hparam_infos[:TICKED]:
            info.differs = True  # those that do are shown first
        protos = import_module("tensorboard.plugins.hparams.plugin_data_pb2")  # generated, without types
        told = protos.HParamsPluginData(experiment=known, version=metadata.PLUGIN_DATA_VERSION)
        plugin.content = told.SerializeToString()
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
            self.writer.add_image(f"{PICTURES}{tag}", image.cpu(), step)
        for tag, values in record.histograms.items():
            # TensorBoard's loader shows neither of a scalar and a histogram that have one tag.
            tag = f"{tag}/histogram" if tag in self.scalar_tags else tag
            self._histogram(tag, values, step)

    def _histogram(self, tag: str, values: Tensor, step: int) -> None:
        from torch.utils.tensorboard.summary import histogram

        values = values.detach().flatten().float().cpu()
        values = values[torch.isfinite(values)]
        if len(values):
            self.events.add_summary(histogram(tag, values, 64), step)

    def flush(self) -> None:
        """Everything written so far is in the file."""
        self.writer.flush()

    def close(self) -> None:
        """Flush and close; the HParams tab calls a run that came to its end a success."""
        if self.finished:
            self.events.add_summary(self.session_end)
        self.writer.close()
