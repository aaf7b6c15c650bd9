"""The presets of conf/experiment at small size, on the real files of their data sets."""

import subprocess
import sys
from pathlib import Path

import yaml

from runs import CONF, WIDTHS

PRESETS = sorted(
    path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in CONF.glob("experiment/**/*.yaml")
)


def small_preset(preset: str, run: Path, shared: Path, unpacked: Path) -> list[str]:
    """The words of a command that trains a preset for two rounds; `shared` holds the data sets, `unpacked` is where
    those go that are made of its files."""
    groups = yaml.safe_load((CONF / "experiment" / f"{preset}.yaml").read_text())["defaults"]
    chosen = {key.removeprefix("override /"): value for group in groups for key, value in group.items()}
    score = "metrics=none" if (CONF / "metrics").is_dir() else "score=none"  # as the tree of gantool 0.1 spells it
    words = ["train", f"experiment={preset}", score, *WIDTHS[chosen["model"]], "trainer.precision=fp32"]
    words += ["trainer.duration=2it", "trainer.batch_size=4", f"hydra.run.dir={run}"]
    dataset = chosen.get("dataset", "mnist-5k")
    return words if dataset == "mnist-5k" else [*words, f"dataset.root={files_of(dataset, shared, unpacked)}"]


def files_of(dataset: str, shared: Path, unpacked: Path) -> Path:
    """Where a data set lies; CIFAR-10 is unpacked from its lossless mosaics first, of CelebA there are a few faces."""
    if dataset == "unpaired":
        return shared / "horse2zebra_128"
    if dataset == "paired":  # a folder of photographs, each with itself
        for side in ("trainA", "trainB"):
            (unpacked / "pairs").mkdir(parents=True, exist_ok=True)
            if not (unpacked / "pairs" / side).exists():
                (unpacked / "pairs" / side).symlink_to(shared / "horse2zebra_128" / "testA")
        return unpacked / "pairs"
    if dataset == "cifar10":
        if not (unpacked / "cifar10").exists():
            command = [sys.executable, str(shared / "cifar10" / "unpack_cifar10.py"), str(unpacked / "cifar10")]
            subprocess.run(command, check=True, capture_output=True)
        return unpacked / "cifar10"
    if dataset == "celeba":
        return few_faces(shared, unpacked)
    return shared / dataset


def few_faces(shared: Path, unpacked: Path) -> Path:
    """Forty faces of CelebA, every second one of the test part."""
    root = unpacked / "celeba"
    if not root.exists():
        names = [path.name for path in sorted((shared / "celeba" / "img_align_celeba").iterdir())[:40]]
        (root / "img_align_celeba").mkdir(parents=True)
        for name in names:
            (root / "img_align_celeba" / name).symlink_to(shared / "celeba" / "img_align_celeba" / name)
        (root / "list_attr_celeba.txt").write_bytes((shared / "celeba" / "list_attr_celeba.txt").read_bytes())
        parts = "".join(f"{name} {2 * (place % 2)}\n" for place, name in enumerate(names))
        (root / "list_eval_partition.txt").write_text(parts)
    return root
