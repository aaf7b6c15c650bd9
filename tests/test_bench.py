"""gantool bench runs on real data and prints what it promises; it times nothing that a test would judge."""

import re
from pathlib import Path

import pytest

from gantool.cli.main import main
from gantool.runs import benchmark
from runs import small


@pytest.mark.parametrize(("model", "loss"), [("mlp", "wgan-gp"), ("cyclegan", "lsgan")])
def test_bench_prints_every_figure(in_tmp: Path, capfd, monkeypatch, model: str, loss: str) -> None:
    monkeypatch.setattr(benchmark, "SECONDS", 0.01)
    monkeypatch.setattr(benchmark, "ALTERNATIONS", 1)
    monkeypatch.setattr(benchmark, "WARM_UP", 1)
    if model == "cyclegan":  # the other has a process of its own for each side's memory
        monkeypatch.setattr(benchmark, "_peak_memory", benchmark._play_alone)
    words = [word for word in small(in_tmp / "run", f"loss={loss}", model=model) if not word.startswith("hydra")]
    assert main(["bench", *words[1:]]) == 0
    output = capfd.readouterr().out
    for side in ("plain", "step", "whole loop"):
        assert re.search(rf"^{side} +[\d.]+ ms a round +\d+ images/s$", output, re.MULTILINE), output
    for figure in (r"[\d.]+ times as fast \(fp32\)", r"against step: [+-][\d.]+ %", r"GFLOP/s, \d+ % of the conv"):
        assert re.search(figure, output), output
    assert re.search(r"peak memory: plain \d+ MB, step \d+ MB", output)
    assert not (in_tmp / "outputs").exists()
