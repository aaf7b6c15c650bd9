"""The margin of a score: its coverage in simulations, how it is written, what ties, and where a run shows it."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from extent import some
from gantool.cli.main import main
from gantool.margins import Estimate, margin, places, student, written
from gantool.metrics.embedding import Embedding
from gantool.metrics.score import Score
from gantool.metrics.scores import (
    ClassificationAccuracy,
    Coverage,
    Density,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    Precision,
    Recall,
)
from runs import Composed, train

DIM = 6


def drawn(num: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Embedding:
    """Of a normal distribution; its own first half are the logits."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num, DIM, generator=generator) * scale + shift
    return Embedding(features, 2 * features[:, : DIM // 2])


CASES: list[tuple[Score, float, float, float]] = [
    (FrechetDistance(), 0.4, 1.2, 0.90),
    (FrechetDistance(), 0.0, 1.0, 0.80),  # at the floor
    (InceptionScore(), 0.0, 1.0, 0.90),
    (KernelDistance(subsets=5, subset_size=100), 0.4, 1.2, 0.85),
    (Precision(), 0.4, 1.0, 0.90),
    (Recall(), 0.4, 1.0, 0.90),
    (Density(), 0.4, 1.0, 0.90),
    (Coverage(), 0.4, 1.0, 0.90),  # from its parts 0.4 times as wide
]


@pytest.mark.parametrize(
    ("score", "shift", "scale", "least"), some(CASES, 2), ids=[type(case[0]).__name__ for case in some(CASES, 2)]
)
def test_the_interval_holds_the_score_of_other_images_as_often_as_it_says(
    score: Score, shift: float, scale: float, least: float
) -> None:
    """About 95 times in a hundred: of the mean over many draws, against the same real images."""
    real = drawn(400, 1)
    fakes = [drawn(400, seed, shift, scale) for seed in range(100, 180)]
    values = [score(fake, real, 0) for fake in fakes]
    margins = [score.margin(fake, real, 0, score.parts) for fake in fakes]
    middle = sum(values) / len(values)
    assert all(m is not None for m in margins)
    held = [abs(value - middle) <= m for value, m in zip(values, margins, strict=True) if m is not None]
    assert least <= sum(held) / len(held) <= 1
    spread = float(torch.tensor(values).std())
    width = sum(m for m in margins if m is not None) / len(margins) / (2 * spread)
    assert 0.8 < width < 2.3, "nor is it much wider than need be"


def test_the_inception_score_of_sure_classes_has_no_wider_one() -> None:
    """Splits dealt anew for every part left out made it three times too wide."""
    score, values, margins = InceptionScore(), [], []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        logits = 8 * torch.eye(10)[torch.randint(10, (400,), generator=generator)]
        fake = Embedding(torch.zeros(400, 1), logits + torch.randn(400, 10, generator=generator))
        values.append(score(fake, fake, 0))
        margins.append(score.margin(fake, fake, 0, 10) or math.nan)
    assert 1 < sum(margins) / 40 / student(9) / float(torch.tensor(values).std()) < 2


def test_it_is_what_the_parts_say_and_the_jackknife_is_of_pseudo_values() -> None:
    fake, real = drawn(100, 0), drawn(100, 1)
    parts = torch.randperm(100, generator=torch.Generator().manual_seed(3)).tensor_split(5)
    of_parts = torch.tensor([Precision()(fake[rows], real, 3) for rows in parts])
    assert Precision().margin(fake, real, 3, 5) == pytest.approx(2.776445 * float(of_parts.std()) / math.sqrt(5))
    whole = FrechetDistance()(fake, real, 3)

    def without(rows: Tensor) -> Embedding:
        return fake[torch.tensor([row for row in range(100) if row not in rows])]

    pseudo = [5 * whole - 4 * FrechetDistance()(without(rows), real, 3) for rows in parts]
    assert FrechetDistance().margin(fake, real, 3, 5) == pytest.approx(margin(pseudo), rel=1e-6)
    assert FrechetDistance()(fake.without(parts[0]), real, 0) == pytest.approx(
        FrechetDistance()(without(parts[0]), real, 0), rel=1e-9
    )


def test_too_few_images_have_none() -> None:
    fake, real = drawn(30, 0), drawn(30, 1)
    assert Precision(5).margin(fake, real, 0, 10) is None and Precision(1).margin(fake, real, 0, 10) is not None
    assert InceptionScore(28).margin(fake, real, 0, 10) is None
    assert ClassificationAccuracy().parts == 0 and FrechetDistance().margin(fake, real, 0, 0) is None


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_part_without_a_finite_score_gives_none(value: float) -> None:
    class Ratio(FrechetDistance):
        def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
            return value if float(fake.features[0, 0]) < 0 else 1.0

    assert Ratio().margin(drawn(100, 0), drawn(100, 1), 0, 10) is None and math.isnan(margin([1.0, value, 2.0]))


def test_how_numbers_are_written() -> None:
    found = [written(4.5321, m) for m in (0.2034, 0.0096, 12.3, None, 0.0, float("nan"))]
    assert found == ["4.53 ± 0.20", "4.5321 ± 0.0096", "5 ± 12", "4.532", "4.532", "4.532"]
    assert written(1.2e-4, 3.1e-5) == "0.000120 ± 0.000031" and written(4.5321, digits=3) == "4.53"


def test_places_are_shared_within_the_margin() -> None:
    assert places([Estimate.of_one(v, 0.2) for v in (1.0, 1.1, 1.2, 1.4, 2.0)]) == ["1=", "1=", "1=", "4", "5"]
    assert places([Estimate.of_one(v, None) for v in (1.0, 1.1, 1.1)]) == ["1", "2=", "2="]
    seeds = Estimate.of_seeds([1.0, 2.0, 3.0])
    assert (seeds.value, seeds.spread, seeds.num, str(seeds)) == (2.0, 1.0, 3, "2.0 ± 1.0")
    other = Estimate.of_seeds([5.0, 6.0, 7.0])
    assert seeds.needs(other) == pytest.approx(student(4) * math.sqrt(2 / 3)), "Welch's: four degrees of freedom"
    assert not seeds.ties(other) and seeds.ties(Estimate.of_seeds([4.0, 1.0, 5.0]))


def test_a_run_tells_it_everywhere(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    run = in_tmp / "run"
    state = train(
        run, "score=[fd,is]", "monitor=scores", "monitor.scores.num=60", "trainer.log_every=1it", model="mlp", rounds=2
    )
    out = capfd.readouterr()
    status = json.loads((run / "status.json").read_text())
    (line,) = [one for one in map(json.loads, (run / "metrics.jsonl").open()) if "metrics/fd_digits" in one]
    margins = {name: line[f"margin/{name}"] for name in ("fd_digits", "is_digits")}
    assert status["margins"] == margins == state["margins"] and all(m > 0 for m in margins.values())
    text = f"fd_digits {written(status['metrics']['fd_digits'], margins['fd_digits'])}"
    told = (out.out + out.err).splitlines()
    assert [text in one for one in told if "kimg 100%" in one or "scores: " in one][-2:] == [True, True]
    assert sum("only 60 generated images: fd_digits is unreliable" in one for one in told) == 1, "before it trains"
    floors = [f"{name} {written(value)}" for name, value in line["protocol"]["floor"].items()]
    assert sum(f"real images against real images: {', '.join(floors)}" in one for one in told) == 1
    assert main(["report", f"run={run}"]) == 0
    page = (run / "report.html").read_text()
    assert written(status["metrics"]["fd_digits"], margins["fd_digits"]) in page and "<h2>Curves" in page
    assert ">margin<" not in page


def test_a_resumed_log_has_the_same_margins(in_tmp: Path) -> None:
    words = ["score=fd", "monitor=scores", "monitor.scores.num=40", "monitor.scores.every=1it"]
    runs = Composed(in_tmp, *words, model="mlp")
    runs.train("whole", rounds=3)
    runs.train("cut", rounds=2)
    runs.train("cut", rounds=3)

    def log(name: str) -> list[dict]:
        lines = map(json.loads, (in_tmp / name / "metrics.jsonl").open())
        scored = (one for one in lines if "metrics/fd_digits" in one)
        return [{key: one[key] for key in one if key.startswith(("metrics", "margin"))} for one in scored]

    assert log("whole") == log("cut") and sum(len(one) for one in log("cut")) == 6
