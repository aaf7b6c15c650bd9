"""The judge: counts, floor, cache, protocol, and what it refuses; the extractor's shapes are checked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.logging.progress import Block
from gantool.metrics.distances import frechet_distance
from gantool.metrics.features import Features
from gantool.metrics.judge import KINDS, Judge, Settings

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    return tmp_path


class Rows(Features):
    """Eight features: the mean brightness of each row. Counts the images it has seen."""

    name, score_names, num_features = "rows", ("fd_rows", "is_rows"), 8
    weights_hash, resize = "00000000", "none"

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += len(images)
        features = images.float().mean((1, 3)) / 64
        return features, 3 * features


def images(count: int, seed: int, top: int = 256) -> Tensor:
    """Noise (count, 1, 8, 4), uint8."""
    return torch.randint(0, top, (count, 1, 8, 4), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def reals(count: int = 300) -> ImageSet:
    return ImageSet(images(count, 0), None, [], "fingerprint", "noise")


def blocks(images: Tensor) -> Iterator[Block]:
    return ((part, None) for part in images.split(30))


def judged(data: ImageSet, fakes: Tensor, **settings) -> tuple[Judge, dict[str, float]]:
    judge = Judge(Rows(), data, Settings(num=len(fakes), **settings), CPU)
    judge.prepare(50, lambda blocks, total: blocks)
    return judge, judge.score(blocks(fakes))


def test_real_images_score_the_floor() -> None:
    """The floor is what the very images score that it was measured on, given as if they were generated."""
    data = reals()
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    judge, scores = judged(data, data.images[order[:100]])
    assert scores == judge.floor and list(scores) == [f"{kind}_rows" for kind in KINDS]
    assert judge.protocol()["num_floor"] == [100, 200] and judge.protocol()["num_real"] == 200
    features = [Rows()(data.images[rows])[0] for rows in (order[:100], order[100:])]
    assert scores["fd_rows"] == pytest.approx(frechet_distance(*features), rel=1e-6)
    assert 0.7 < scores["precision_rows"] <= 1 and 0.8 < scores["coverage_rows"] <= 1


def test_dark_images_are_worse_by_every_score_but_their_own_variety() -> None:
    judge, scores = judged(reals(), images(100, 1, top=128))
    assert scores["fd_rows"] > 10 * judge.floor["fd_rows"] and scores["kd_rows"] > 0.1 > judge.floor["kd_rows"]
    for kind in ("precision", "recall", "density", "coverage"):
        assert scores[f"{kind}_rows"] < judge.floor[f"{kind}_rows"] / 2, kind


def test_where_reals_are_few_all_of_them_count_and_the_protocol_warns() -> None:
    judge, _ = judged(reals(100), images(80, 1))
    assert judge.protocol()["num_real"] == 100 and judge.protocol()["num_floor"] == [50, 50]
    assert "the floor is of 50 real images against 50" in str(judge.protocol()["warning"])
    judge, _ = judged(reals(100), images(50, 1))
    assert judge.protocol()["num_real"] == 50 and judge.protocol()["warning"] is None
    judge, _ = judged(reals(100), images(30, 1), num_real=40)
    assert judge.protocol()["num_real"] == 40 and judge.protocol()["num_floor"] == [30, 40]
    judge, _ = judged(reals(100), images(8, 1), kinds=("fd",))
    assert "8 images are too few for a sound covariance of 8 features" in str(judge.protocol()["warning"])


def test_reals_are_embedded_once(cache: Path) -> None:
    first, scores = judged(reals(), images(100, 1))
    assert isinstance(first.features, Rows) and first.features.seen == 300 + 100
    second, again = judged(reals(), images(60, 1), kinds=("fd",))
    assert isinstance(second.features, Rows) and second.features.seen == 60
    assert judged(reals(), images(100, 1))[1] == scores and list(again) == ["fd_rows"]
    fewer, _ = judged(reals(), images(60, 1), num_real=40)
    assert isinstance(fewer.features, Rows) and fewer.features.seen == 100 + 60
    assert len(list((cache / "embeddings").iterdir())) == 2


def test_the_protocol_is_json_and_names_what_was_done() -> None:
    protocol = judged(reals(), images(100, 1), neighbours=2, seed=7)[0].protocol()
    assert json.loads(json.dumps(protocol)) == protocol
    expected = {"extractor": "rows", "num_fake": 100, "neighbours": 2, "coverage_neighbours": 5, "seed": 7}
    assert expected.items() <= protocol.items() and protocol["split"] == "noise all"
    assert (
        not {"neighbours", "coverage_neighbours"} & judged(reals(), images(100, 1), kinds=("fd",))[0].protocol().keys()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num": 9}, "is_rows needs at least 10 images a side, 9 are too few"),
        ({"num": 1, "kinds": ("fd",)}, "fd_rows needs at least 2"),
        ({"num": 40, "neighbours": 40}, "precision_rows needs at least 41 images a side, 40 are too few"),
        ({"num": 100, "coverage_neighbours": 150}, "density_rows needs at least 151"),
        ({"num": 100, "num_real": 301}, "num_real=301: noise all has 300 images"),
        ({"num": 100, "num_real": 3}, "needs at least 10 images a side, 3 are too few"),
    ],
)
def test_too_few_images_are_told_before_any_work(settings: dict, message: str) -> None:
    features = Rows()
    with pytest.raises(GantoolError, match=message):
        Judge(features, reals(), Settings(**{"kinds": KINDS, **settings}), CPU)
    assert features.seen == 0


@pytest.mark.parametrize(
    ("made", "shapes"),
    [
        (lambda x: (torch.zeros(len(x), 7), torch.zeros(len(x), 3)), r"\(50, 7\) and \(50, 3\)"),
        (lambda x: (torch.zeros(len(x), 8, 2, 2), torch.zeros(len(x), 3)), r"\(50, 8, 2, 2\)"),
        (lambda x: torch.zeros(len(x), 8), r"\(50, 8\)"),
        (lambda x: None, "NoneType"),
    ],
)
def test_an_extractor_of_the_wrong_shape_is_one_line(made, shapes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "forward", lambda self, x: made(x))
    with pytest.raises(GantoolError, match=rf"Rows gives {shapes}.* for 50 images, not features \(50, 8\)"):
        judged(reals(), images(100, 1))
