"""A search by Optuna against a grid over the same ranges, at equal time: python tests/search_against_grid.py FOLDER

Trains the grid, then the search for as long as that took, once for each of SEEDS (an environment variable, "0 1 2"),
and has the best of each judged once more, by 5,000 other samples. More words are handed to every run, such as
trainer.duration=10kimg. FOLDER is to be new: the time of a sweep that was cut short is not known.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

RUN = ["dataset=mnist-5k", "trainer.duration=15kimg", "score=fd", "monitor=scores", "monitor.scores.every=3kimg"]
RUN += ["monitor.scores.num=1000"]
GRID = ["optimizer.lr=1e-4,3e-4,1e-3,3e-3,1e-2", "loss=non-saturating,hinge", "optimizer.beta2=0.9,0.99,0.999"]
SEARCH = [
    "optimizer.lr=tag(log,interval(1e-4,1e-2))",
    "loss=non-saturating,hinge",
    "optimizer.beta2=interval(0.9,0.999)",
]
SEARCH += ["hydra/sweeper=study", "study.trials=1000"]


def gantool(*words: str) -> float:
    """Runs it and returns its seconds; what a job of it fails at is in its table."""
    began = time.monotonic()
    print("gantool", shlex.join(words), flush=True)
    subprocess.run([sys.executable, "-m", "gantool", *words], check=False)
    return time.monotonic() - began


def judged(sweep: Path) -> tuple[str, float]:
    """The best job of a sweep and its distance by other samples."""
    best = jobs(sweep)[0]["job"]
    gantool("evaluate", f"run={sweep / best}", "score=fd", "num=5000", "seed=1", f"out={sweep / 'judged'}")
    scores = json.loads((sweep / "judged" / "results.json").read_text())[0]["scores"]
    return best, scores["fd_digits"]


def main() -> None:
    """Prints a line for each seed and how."""
    root, words = Path(sys.argv[1]), [*RUN, *sys.argv[2:]]
    for seed in os.environ.get("SEEDS", "0 1 2").split():
        grid, search = root / f"grid-{seed}", root / f"search-{seed}"
        common = ["train", "-m", *words, f"trainer.seed={seed}"]
        seconds = gantool(*common, *GRID, f"hydra.sweep.dir={grid}")
        gantool(*common, *SEARCH, f"study.seed={seed}", f"study.time_limit={seconds:.0f}s", f"hydra.sweep.dir={search}")
        for name, sweep in (("grid", grid), ("search", search)):
            best, score = judged(sweep)
            print(f"seed {seed}, {name}: {len(jobs(sweep))} runs, {seconds:.0f} s, fd_digits {score:.3f}, {best}")


def jobs(sweep: Path) -> list[dict]:
    """Of a sweep's table, best first."""
    return json.loads((sweep / "results.json").read_text())["jobs"]


if __name__ == "__main__":
    main()
