"""Where records go: metrics.jsonl and samples/ in the run folder, and the trackers that were chosen."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from gantool.game import Progress
from gantool.logging.grid import save_grid
from gantool.logging.jsonl import JsonLines
from gantool.logging.record import Record
from gantool.logging.tensorboard import TensorBoard
from gantool.logging.tracker import Guarded, Tracker


class Log:
    """Keeps every record in every form.

    `run_dir` None (ranks other than 0) keeps nothing. `resume_from` is where the run goes on: what a session before it
    wrote past that point is cut off, so no point stands twice; without it the folder's log starts anew.
    `trackers` are made by name, TensorBoard's alone where none are given; one that fails is left out with a warning.
    """

    def __init__(
        self,
        run_dir: Path | None,
        *,
        resume_from: Progress | None = None,
        hparams: Mapping[str, object] | None = None,
        config_text: str = "",
        trackers: Mapping[str, Callable[..., Tracker]] | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.files: list[JsonLines | Guarded] = []
        if run_dir is not None:
            first = resume_from.nimg + 1 if resume_from else 0
            run_dir.mkdir(parents=True, exist_ok=True)
            trackers = {"tensorboard": TensorBoard} if trackers is None else trackers
            text = {"first": first, "hparams": hparams or {}, "config_text": config_text}
            chosen = [Guarded(name, partial(make, run_dir, **text)) for name, make in trackers.items()]
            self.files = [JsonLines(run_dir, first=first), *chosen]

    def write(self, record: Record, progress: Progress) -> None:
        """Keeps `record` as what was seen at `progress`."""
        if self.run_dir is not None:
            save_samples(record, progress, self.run_dir / "samples")
        for file in self.files:
            file.write(record, progress)

    def flush(self) -> None:
        """All that was written is in its files: to be called before a checkpoint that a resume may start from."""
        for file in self.files:
            file.flush()

    def rewind(self, progress: Progress) -> None:
        """The run went back to `progress`: the log that is opened next writes what comes after it anew."""
        for file in self.files:
            if isinstance(file, Guarded):
                file.rewind(progress)

    def close(self) -> None:
        """Flushes and closes every file."""
        for file in self.files:
            file.close()


def save_samples(record: Record, progress: Progress, folder: Path) -> None:
    """'samples/generated' at 12,048 images goes to `folder`/generated-000012.048.png; a resumed run writes the same
    bytes over those of the session before it."""
    for tag, image in record.images.items():
        folder.mkdir(exist_ok=True)
        name = tag.removeprefix("samples/").replace("/", "-")
        save_grid(image, folder / f"{name}-{progress.nimg / 1000:010.3f}.png", record.rows.get(tag, ()))
