"""What `gantool bench` says on this GPU, alone on it: pytest -s tests/gpu/figures.py (about four minutes)."""

import pytest
import torch

from gantool.cli.main import main

SETTINGS = [
    "",
    "dataset.resolution=64",
    "loss=wgan-gp",
    "model=mlp loss=wgan-gp",
    "trainer.compile=graphs",
    "loss=wgan-gp trainer.compile=graphs",
]


@pytest.mark.parametrize("words", SETTINGS)
def test_bench(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{torch.cuda.get_device_name()}: gantool bench {words}")
        assert main(["bench", *words.split()]) == 0
