"""Every preset in conf/experiment composes, builds and trains a few rounds on the real files of its data set."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gantool.cli.main import main
from runs import CONF, WIDTHS, newest

PRESETS = sorted(path.relative_to(CONF / "experiment") for path in (CONF / "experiment").rglob("*.yaml"))


def files_of(dataset: str, shared: Path, folder: Path) -> Path:
    """Where the data set lies; CIFAR-10 is unpacked from its lossless mosaics first."""
    if dataset == "unpaired":
        return shared / "horse2zebra_128"
    if dataset == "paired":  # a folder of photographs, each with itself
        for side in ("trainA", "trainB"):
            (folder / "pairs").mkdir(exist_ok=True)
            (folder / "pairs" / side).symlink_to(shared / "horse2zebra_128" / "testA")
        return folder / "pairs"
    if dataset == "cifar10":
        command = [sys.executable, str(shared / "cifar10" / "unpack_cifar10.py"), str(folder / "cifar10")]
        subprocess.run(command, check=True, capture_output=True)
        return folder / "cifar10"
    return shared / dataset


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.with_suffix("").as_posix())
def test_a_preset_trains(preset: Path, shared_data: Path, in_tmp: Path) -> None:
    groups = yaml.safe_load((CONF / "experiment" / preset).read_text())["defaults"]
    chosen = {key.removeprefix("override /"): value for group in groups for key, value in group.items()}
    dataset = chosen.get("dataset", "mnist-5k")
    words = ["train", f"experiment={preset.with_suffix('')}", "metrics=none", *WIDTHS[chosen["model"]]]
    words += ["trainer.duration=2it", "trainer.batch_size=4", f"hydra.run.dir={in_tmp / 'run'}"]
    if dataset != "mnist-5k":
        words.append(f"dataset.root={files_of(dataset, shared_data, in_tmp)}")
    assert main(words) == 0
    assert all(value.isfinite().all() for value in newest(in_tmp / "run")["game"].values())
