"""Where records go: TensorBoard, metrics.jsonl and samples/, all under one run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from gantool.game import Progress
from gantool.logging.jsonl import JsonLines
from gantool.logging.record import Record
from gantool.logging.samples import SampleFolder
from gantool.logging.tensorboard import TensorBoard


class Sink(Protocol):
    """One form in which records are kept."""

    def write(self, record: Record, progress: Progress) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Log:
    """Hands every record to every sink.

    `run_dir` None (ranks other than 0) keeps nothing. `resume_from` is where the run goes on: what a session before it
    wrote past that point is cut off, so no point stands twice; without it the folder's log starts anew.
    """

    def __init__(
        self,
        run_dir: Path | None,
        *,
        resume_from: Progress | None = None,
        hparams: Mapping[str, object] | None = None,
        config_text: str = "",
    ) -> None:
        self.sinks: list[Sink] = []
        if run_dir is not None:
            first = resume_from.nimg + 1 if resume_from else 0
            run_dir.mkdir(parents=True, exist_ok=True)
            self.sinks = [
                JsonLines(run_dir, first=first),
                SampleFolder(run_dir),
                TensorBoard(run_dir, first=first, hparams=hparams or {}, config_text=config_text),
            ]

    def write(self, record: Record, progress: Progress) -> None:
        """Keep `record` as what was seen at `progress`."""
        for sink in self.sinks:
            sink.write(record, progress)

    def flush(self) -> None:
        """All that was written is in its files: to be called before a checkpoint that a resume may start from."""
        for sink in self.sinks:
            sink.flush()

    def close(self) -> None:
        """Flush and close every file."""
        for sink in self.sinks:
            sink.close()
