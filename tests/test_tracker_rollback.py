"""What a tracker is sent of a run that went back."""

import json
import logging
from pathlib import Path

from gantool.cli.main import main
from gantool.game import Progress
from gantool.logging.jsonl import finite, read_metrics
from gantool.logging.record import Record
from gantool.logging.tracker import Sent, Tracker
from runs import train
from test_watchdog import EXPLODES, LOWER


class Noting(Tracker):
    """Notes what it is sent, a line a point, as those do that take a step twice."""

    def __init__(self, run_dir: Path, *, first: int, hparams: object, config_text: str) -> None:
        self.path, self.sent = run_dir / "noted.jsonl", Sent(run_dir, "noting", first)

    def write(self, record: Record, progress: Progress) -> None:
        if self.sent.is_new(progress):
            line = {"nimg": progress.nimg} | {tag: finite(value) for tag, value in record.scalars.items()}
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            self.sent.save()

    def rewind(self, progress: Progress) -> None:
        self.sent.rewind(progress)

    def close(self) -> None:
        pass


def test_a_run_that_was_rolled_back_sends_what_it_is_now(in_tmp: Path) -> None:
    """Over the curve of the attempt that went wrong; and a resume sends none of it a third time."""
    words = [*EXPLODES, LOWER, "trainer.watchdog.every=100it"]  # back to the start
    words += ["+logger.noting._target_=test_tracker_rollback.Noting"]
    train(in_tmp / "run", *words, model="mlp", rounds=20)
    assert main(["train", f"resume={in_tmp / 'run'}", "trust=true", "trainer.duration=22it"]) == 0
    logging.root.handlers.clear()
    noted = [json.loads(line) for line in (in_tmp / "run" / "noted.jsonl").read_text().splitlines()]
    rates = [(line["nimg"], line["learning_rate/generator"]) for line in noted if "learning_rate/generator" in line]
    lines = [line for line in read_metrics(in_tmp / "run") if "learning_rate/generator" in line]
    kept = {line["nimg"]: line["learning_rate/generator"] for line in lines}
    assert dict(rates) == kept and len(kept) == 22, "the last of each point is the run's own"
    assert 30 < len(rates) < 44 and len(set(rates)) == len(rates), "and each was sent once"
