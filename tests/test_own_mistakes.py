"""Classes of a user's own that cannot be used as they are: one line that says what to write."""

from pathlib import Path

import pytest

from gantool.cli.main import main

STRANGE = """
import torch
from torch import nn

class DS(torch.utils.data.Dataset):
    def __len__(self): return 9
    def __getitem__(self, index): return torch.rand(1, 32, 32), index % 3

class Short(nn.Module):
    def __init__(self, latent_dim=8, channels=1):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(latent_dim, channels * 1024), nn.Unflatten(1, (channels, 32, 32)))
    def forward(self, z): return self.net(z)

class Inherits(Short):
    pass

class Inner(Short):
    def forward(self, z, labels=None): return self.net(z, labels)

class Judge(nn.Module):
    def __init__(self, channels, resolution):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(channels * resolution ** 2, 1))
    def forward(self, images): return self.net(images)

class Late(nn.Module):
    def __init__(self):
        self.net = nn.Linear(8, 8)
        super().__init__()

class Never(nn.Module):
    def __init__(self): self.width = 3
"""
CASES = {
    "dataset._target_=strange.DS": "strange.DS does not derive from gantool.data.source.Source, as a data",
    "--config-dir conf dataset=ds": "dataset: strange.DS does not derive from gantool.data.source.Source",
    "model.generator._target_=strange.Short": "gantool calls generator(z, labels), and labels is None where the run is",
    "model.generator._target_=strange.Inherits": "write forward(self, z, labels=None) in Inherits (Short.forw",
    "model.generator._target_=strange.Inner": "the networks do not fit 1x32x32 images or each other (TypeError(",
    "model.discriminator._target_=strange.Judge": "calls discriminator(images, labels), and labels is None where",
    "model.generator._target_=strange.Late": "before Module.__init__() call: call super().__init__() first in its",
    "model.generator._target_=strange.Never": "is a torch module and was not begun as one: call super().",
}


@pytest.mark.parametrize("words", CASES)
def test_what_to_write_is_said(words: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.syspath_prepend(in_tmp)
    (in_tmp / "strange.py").write_text(STRANGE)
    (in_tmp / "conf" / "dataset").mkdir(parents=True)
    (in_tmp / "conf" / "dataset" / "ds.yaml").write_text("_target_: strange.DS\n")
    assert main(["train", *words.split(), "score=none", "hydra.run.dir=run"]) == 1
    error = capfd.readouterr().err
    assert CASES[words] in error and error.count("\n") == 1, error
    assert not (in_tmp / "run").exists()
