"""How time and memory grow, as Markdown tables, on a machine that does nothing else:

    python tests/cost.py [quick] [any key of gantool train]     # a run's settings, processes and checkpoints
    python tests/cost.py images [COUNT ...]     # the number of images; if none is said, 60,000 and a million

Asks `gantool train trainer.dry_run=true` for pace and peak memory at several resolutions, widths and batches, trains on
one and two processes, and times a checkpoint of each width; `quick` takes the first value of each and few images.
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from composing import composed
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main as gantool
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.runs.build import build_state, build_stream, set_up
from gantool.runs.monitors import build_measurements
from gantool.training.checkpoint import Checkpoints
from gantool.training.loop import Settings, play_round

WIDTHS = ("model.generator.width={} model.discriminator.width={}", ((12, 12), (24, 24), (48, 48), (96, 96)))
SWEEPS = {
    "resolution": ("dataset.resolution={}", ((32,), (64,), (128,))),
    "width of the generator, discriminator": WIDTHS,
    "batch": ("trainer.batch_size={}", ((8,), (32,), (128,))),
}
RANKS = [(batch, processes) for batch in (8, 32) for processes in (1, 2)]
COUNTS = (60_000, 1_000_000)


def draw(root: Path, count: int) -> Path:
    """Tiny PPM images in two classes, each of its own content."""
    for kind in ("a", "b"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 192), np.uint8)
    for index in range(count):
        row = pixels[index % 1000].copy()
        row[:4] = np.frombuffer(index.to_bytes(4), np.uint8)
        (root / "ab"[index % 2] / f"{index:07d}.ppm").write_bytes(b"P6 8 8 255\n" + row.tobytes())
    return root


def peak(of: int = resource.RUSAGE_SELF) -> float:
    """Memory that this process held at most, in GB; or of RUSAGE_CHILDREN the largest."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(of).ru_maxrss * unit / 1e9


def dry(words: list[str]) -> tuple[str, str]:
    """Images a second and peak memory."""
    command = [sys.executable, "-m", "gantool", "train", "trainer.dry_run=true", "monitor=[]", "score=none", *words]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    text = said.stdout + said.stderr
    found = [re.search(pattern, text) for pattern in (r"pace +(\d+) images/s", r"memory +([\d.]+ \wB)")]
    pace, memory = (match[1] if match else "?" for match in found)
    return pace, memory


def trained(processes: int, words: list[str]) -> tuple[float, str]:
    """Images a second of a run with so many processes, of one thread each, by its log's last line; and the peak memory
    of each process."""
    with tempfile.TemporaryDirectory() as folder:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        run = ["train", "monitor=[]", "score=none", f"hydra.run.dir={folder}/run", *words]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*launch, __file__, "rank", folder, *run], check=True, capture_output=True, env=env)
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
        paces = [json.loads(line)["speed/images_per_second"] for line in lines if "images_per_second" in line]
        held = [float(path.read_text()) for path in sorted(Path(folder).glob("rank-*"))]
        return paces[-1], ", ".join(f"{memory:.2f} GB" for memory in held)


def as_rank(folder: str, words: list[str]) -> None:
    """What one process of `trained` does."""
    code = gantool(words)
    (Path(folder) / f"rank-{os.environ['RANK']}").write_text(str(peak()))
    sys.exit(code)


def images(counts: list[int]) -> None:
    """Prints how fast so many images are prepared, what memory it takes, and how soon prepared ones are ready."""
    print("| images | prepared | peak memory; of a process that decodes | ready from a warm cache |\n|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            root, env = draw(Path(folder) / "images", count), {**os.environ, "GANTOOL_CACHE": f"{folder}/cache"}
            command = [sys.executable, __file__, "prepare", str(root)]
            cold, warm = (
                [float(word) for word in subprocess.check_output(command, env=env, text=True).split()] for _ in range(2)
            )
        print(
            f"| {count:,} | {count / cold[0]:,.0f} a second | {cold[1]:.2f} GB; {cold[2]:.2f} GB "
            f"| {warm[0]:.1f} s, {warm[1]:.2f} GB |",
            flush=True,
        )


def as_prepared(root: str) -> None:
    """What one process of `images` does: prints seconds, and the peak memory of itself and of what it started."""
    start = time.monotonic()
    prepare(Folder(root, resolution=8), progress=False)
    print(time.monotonic() - start, peak(), peak(resource.RUSAGE_CHILDREN))


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
    quick = words[:1] == ["quick"]
    words, most = words[quick:], 1 if quick else None
    print("| | images/s | peak memory |\n|---|---|---|")
    for name, (pattern, values) in SWEEPS.items():
        for value in values[:most]:
            pace, memory = dry([*words, *pattern.format(*value).split()])
            print(f"| {name} {', '.join(map(str, value))} | {pace} | {memory} |", flush=True)
    for batch, processes in RANKS[: 2 * most if most else None]:
        settings = [f"trainer.batch_size={batch}", f"trainer.duration={'200img' if quick else '3kimg'}"]
        pace, memory = trained(processes, [*settings, *words])
        print(f"| batch {batch}, processes of one thread: {processes} | {pace:.0f} | {memory} |", flush=True)
    pattern, values = WIDTHS
    for value in values[:most]:
        print(checkpoint([*words, *pattern.format(*value).split()]), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["rank", folder, *words]:
            as_rank(folder, words)
        case ["prepare", root]:
            as_prepared(root)
        case ["images", *counts]:
            images([int(count) for count in counts] or list(COUNTS))
        case words:
            main(words)
