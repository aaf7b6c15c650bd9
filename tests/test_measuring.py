"""The scripts that README's figures come from run, each with few images and for a short time."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cost import draw
from extent import thorough
from flaws import main as distances
from presets import files_of

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text(encoding="utf-8")
NETWORKS = ["model.generator.width=4", "model.discriminator.width=4", "trainer.batch_size=8"]
FOLDER = ["dataset=folder", "dataset.root=images", "dataset.resolution=32"]
SMALLEST = {  # words, and what is printed
    "cost": (
        ["quick", "trainer.log_every=40img", *FOLDER],
        6,
        r"\| .* \| \d+ \| [\d.]+ [MG]B.* \||[\d,]+ weights: [\d.]+ MB, [\d.]+ s",
    ),
    "cost images": (["images", "300"], 1, r"\| 300 \| [\d,]+ a second \| 0.\d+ GB; 0.\d+ GB \| [\d.]+ s, 0.\d+ GB \|"),
    "pace": (["run", "200"], 2, r"(sample|evaluate) +200 images: [\d.]+ s, bare loop [\d.]+ s, \d+ % of it"),
    "against_example": (  # a line for each judge: the second is there where its package is installed
        [*FOLDER, *NETWORKS],
        3,
        r"(gantool|example): [\d.]+ kimg in 20 s"
        r"|fd_efficientnet: gantool [\d.]+, example [\d.]+, ratio [\d.]+; "
        r"real images against real images \{'fd_efficientnet': [\d.]+\}",
    ),
}
UNFLAWED = ("other training digits", "test digits", "other real ones")


@thorough
@pytest.mark.parametrize("script", SMALLEST)
def test_a_script_runs(script: str, trained_run: Path, in_tmp: Path) -> None:
    draw(in_tmp / "images", 120)
    shutil.copytree(trained_run, in_tmp / "run")
    words, count, line = SMALLEST[script]
    few = {"SECONDS": "20", "NUM": "60", "CLASSIFIED": "600"}  # which against_example.py reads
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), **few}
    command = [sys.executable, str(HERE / f"{script.split()[0]}.py"), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [row for row in done.stdout.splitlines() if re.fullmatch(line, row)]
    assert len(found) == count, done.stdout


@thorough
def test_every_flaw_raises_the_distance_and_more_of_it_raises_it_more(shared_data: Path, tmp_path: Path) -> None:
    mnist, cifar10 = (str(files_of(name, shared_data, tmp_path)) for name in ("mnist", "cifar10"))
    found = distances(mnist, cifar10, str(shared_data / "celeba"), num=300)
    for name, sets in found.items():
        floor, *_ = next(iter(sets.values()))  # of the images that the flawed ones are made of
        for flaw, (little, *much) in ((kind, sets[kind]) for kind in sets if kind not in UNFLAWED):
            assert 1.03 * floor < little, (name, flaw, floor, little)
            assert all(1.1 * little < more for more in much), (name, flaw, little, much)


def test_every_script_that_readme_names_is_run_here() -> None:
    named = set(re.findall(r"python tests/(\w+)\.py", README))
    assert named and named <= {script.split()[0] for script in SMALLEST} | {"flaws"}
    assert all((HERE / f"{name}.py").exists() for name in named)
