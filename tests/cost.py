"""How time and memory grow with a run's settings, as a Markdown table: python tests/cost.py [any key of gantool train]

Asks `gantool train trainer.dry_run=true` for pace and peak memory at several resolutions, widths and batches, trains on
one and two processes, and times a checkpoint of each width. Run it on a machine that does nothing else.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from composing import composed
from gantool.cli.arguments import add_arguments
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.runs.build import build_state, build_stream, set_up
from gantool.runs.monitors import build_measurements
from gantool.training.checkpoint import Checkpoints
from gantool.training.loop import Settings, play_round

WIDTHS = ("model.generator.width={} model.discriminator.width={}", ((12, 8), (24, 16), (48, 32), (96, 64)))
SWEEPS = {
    "resolution": ("dataset.resolution={}", ((32,), (64,), (128,))),
    "width of the generator, discriminator": WIDTHS,
    "batch": ("trainer.batch_size={}", ((8,), (32,), (128,))),
}


def dry(words: list[str]) -> tuple[str, str]:
    """Images a second and peak memory."""
    command = [sys.executable, "-m", "gantool", "train", "trainer.dry_run=true", "monitor=[]", "score=none", *words]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    text = said.stdout + said.stderr
    found = [re.search(pattern, text) for pattern in (r"pace +(\d+) images/s", r"memory +([\d.]+ \wB)")]
    pace, memory = (match[1] if match else "?" for match in found)
    return pace, memory


def trained(processes: int, words: list[str]) -> float:
    """Images a second of a run with so many processes, of one thread each, by its log's last line."""
    with tempfile.TemporaryDirectory() as folder:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        run = [
            "-m",
            "gantool",
            "train",
            "monitor=[]",
            "score=none",
            "trainer.duration=3kimg",
            f"hydra.run.dir={folder}/run",
        ]
        subprocess.run(
            [*launch, *run, *words], check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["speed/images_per_second"] for line in lines if "images_per_second" in line][-1]


def checkpoint(words: list[str]) -> str:
    """Parameters, size and seconds of a checkpoint of a run under way, written to this disk and flushed."""
    cfg, _ = composed(*add_arguments([*words, "score=none"]))
    setup = set_up(cfg, Written())
    image_set, trainer = prepare(setup.source, on_bad_image=setup.config.dataset.on_bad_image), setup.config.trainer
    state = build_state(setup, len(image_set.images))
    play = Settings(trainer.seed, trainer.batch_size, trainer.microbatch)
    play_round(state, build_stream(setup, image_set), build_measurements(setup, state, len(image_set.images)), play)
    numbers = sum(p.numel() for player in state.game.players.values() for p in player.parameters())
    with tempfile.TemporaryDirectory(dir=".") as folder:
        start = time.monotonic()
        path = Checkpoints(Path(folder)).save(state.state_dict(), 0)
        return f"{numbers:,} weights: {path.stat().st_size / 1e6:.1f} MB, {time.monotonic() - start:.3f} s"


def main(words: list[str]) -> None:
    """Prints the table, and a line for each checkpoint."""
    print("| | images/s | peak memory |\n|---|---|---|")
    for name, (pattern, values) in SWEEPS.items():
        for value in values:
            pace, memory = dry([*words, *pattern.format(*value).split()])
            print(f"| {name} {', '.join(map(str, value))} | {pace} | {memory} |", flush=True)
    for processes in (1, 2):
        print(f"| processes of one thread: {processes} | {trained(processes, words):.0f} | |", flush=True)
    pattern, values = WIDTHS
    for value in values:
        print(checkpoint([*words, *pattern.format(*value).split()]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
