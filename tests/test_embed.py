"""gantool embed: what it writes, that the seed decides it, what TensorBoard shows of it, and what it refuses."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.projector import projector_config_pb2 as projector

from extent import thorough
from gantool import load_run
from gantool.analysis.draw_embedding import Points, draw_maps, draw_neighbours
from gantool.analysis.embedding import predicted_classes
from gantool.cli.main import main
from gantool.images import to_uint8
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.embedding import Embedding
from gantool.runs import embedding
from gantool.runs.subject import open_subject
from runs import train

SMALL = ["num=40", "among=300", "perplexity=8", "neighbours=3", "rows=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional run."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    train(folder, "model.conditional=true", "optimizer.lr=0.01", model="mlp", rounds=2)
    return folder


def table(out: Path) -> list[dict[str, str]]:
    with (out / "embed.csv").open() as file:
        return list(csv.DictReader(file))


def test_maps_neighbours_and_numbers_follow_the_seed(run: Path, in_tmp: Path) -> None:
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert main(["embed", f"run={run}", *SMALL, f"seed={seed}", f"out={out}"]) == 0
    for name in ("embed.png", "neighbours.png", "embed.csv", "embed.json"):
        assert (in_tmp / "a" / name).read_bytes() == (in_tmp / "b" / name).read_bytes()
    a, c = table(in_tmp / "a"), table(in_tmp / "c")
    assert [row["source"] for row in a] == ["real"] * 40 + ["generated"] * 40
    assert [row["class"] for row in a[40:43]] == ["0", "1", "2"], "as they were asked for"
    assert [row["number"] for row in a[:40]] != [row["number"] for row in c[:40]]
    places = np.array([[float(row[key]) for key in ("pca_x", "pca_y", "tsne_x", "tsne_y")] for row in a])
    assert np.isfinite(places).all() and places.std(0).min() > 0.01
    known = json.loads((in_tmp / "a" / "embed.json").read_text())
    assert known["features"]["name"] == "digits" and known["searched"] == 300 and known["num"] == 40
    assert 0 < known["nearest"]["pixels"]["median_real"] < 100
    assert np.asarray(Image.open(in_tmp / "a" / "embed.png")).std() > 10


def test_the_figure_of_neighbours_tells_what_its_numbers_are(
    run: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def keep(*parts: Any) -> Any:
        drawn[:] = parts
        return draw_neighbours(*parts)

    monkeypatch.setattr(embedding, "draw_neighbours", keep)
    assert main(["embed", f"run={run}", *SMALL, f"out={in_tmp / 'out'}"]) == 0
    samples, names, (features, pixels), _ = drawn
    assert "above each: Euclidean distance" in features.space and "root mean square difference" in pixels.space
    apart = (samples[:, None].double() - pixels.images.double()).square().flatten(2).mean(2).sqrt()
    torch.testing.assert_close(pixels.distances, apart, atol=1e-3, rtol=1e-3)
    assert names[:3] == ["sample 0", "sample 1", names[2]] and names[2].startswith("closest: sample ")


def test_tensorboard_shows_a_thumbnail_and_a_class_for_each_point(run: Path, in_tmp: Path) -> None:
    shutil.copytree(run, in_tmp / "run")
    assert main(["embed", f"run={in_tmp / 'run'}", *SMALL, "classes=[3,7]"]) == 0
    assert main(["embed", f"run={in_tmp / 'run'}", *SMALL, "seed=1"]) == 0
    folder = in_tmp / "run"
    text = (folder / "projector_config.pbtxt").read_text()
    shown, other = text_format.Parse(text, projector.ProjectorConfig()).embeddings  # type: ignore[attr-defined]
    assert shown.tensor_name != other.tensor_name and (folder / other.tensor_path).is_file()
    assert {path.parent for path in folder.rglob("*tfevents*")} == {folder}, "TensorBoard: no run of its own"
    assert Image.open(folder / shown.sprite.image_path).size == (9 * 32, 9 * 32)
    header, *rows = (folder / shown.metadata_path).read_text().splitlines()
    assert header.split("\t") == ["source", "number", "class"]
    assert {row.split("\t")[2] for row in rows} == {"3", "7"} and len(rows) == 80
    assert np.loadtxt(folder / shown.tensor_path).shape == (80, 128)
    events = EventAccumulator(str(folder)).Reload()
    assert {"embedded/maps", "embedded/neighbours"} <= set(events.Tags()["images"])


def test_deep_training_images_are_compared_as_samples_are(in_tmp: Path) -> None:
    (in_tmp / "images").mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 65536, (8, 8), np.uint16)
        Image.fromarray(pixels).save(in_tmp / "images" / f"{index}.png")
    words = ["dataset=folder", f"dataset.root={in_tmp / 'images'}", "dataset.resolution=8", "dataset.channels=1"]
    train(in_tmp / "run", *words, "monitor=none", model="mlp", rounds=1)
    subject = open_subject(load_run(in_tmp / "run", device="cpu"), None, "embed")
    stored = subject.image_set.images
    side = embedding.training_side(subject, DigitFeatures(), torch.arange(8), 8)
    assert stored.dtype == torch.int16 and torch.equal(side.images, to_uint8(stored))


@thorough
def test_an_unconditional_run_is_coloured_by_the_extractors_word(in_tmp: Path) -> None:
    train(in_tmp / "run", "optimizer.lr=0.01", model="mlp", rounds=2)
    assert main(["embed", f"run={in_tmp / 'run'}", *SMALL, f"out={in_tmp / 'out'}"]) == 0
    assert all(row["class"] in set("0123456789") for row in table(in_tmp / "out"))
    assert json.loads((in_tmp / "out" / "embed.json").read_text())["generated_classes"] == "predicted"


@pytest.mark.parametrize(
    ("classes", "known", "expected"),
    [(0, 0, None), (0, 3, None), (3, 0, None), (2, 3, None), (3, 3, [2, 0])],
)
def test_classes_are_predicted_where_both_know_the_same(classes: int, known: int, expected: list[int] | None) -> None:
    """`classes` of the data, 0 where it is unlabelled, and `known` of the extractor, 0 where it has no logits."""
    scores = torch.eye(3)[:, :known]
    real, made = (Embedding(torch.zeros(len(rows), 4), scores[rows]) for rows in ([0, 1, 2], [2, 0]))
    labels = torch.arange(3) if classes else torch.full((3,), -1)
    found = predicted_classes(made, real, labels, classes)
    assert (found if found is None else found.tolist()) == expected


@pytest.mark.parametrize(("labels", "columns"), [([-1, -1, -1, -1], 1), ([0, 1, -1, -1], 2), ([0, 29, 3, 4], 2)])
def test_images_of_unknown_class(labels: list[int], columns: int) -> None:
    points = Points(np.array([True, True, False, False]), np.array(labels), [str(i) for i in range(30)])
    figure = draw_maps({"PCA": torch.randn(4, 2), "t-SNE": torch.randn(4, 2)}, points, "")
    assert len(figure.axes) == 2 * columns


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "run=FOLDER names it"),
        (["run={tmp}"], "not a run folder: it has no .hydra/config.yaml"),
        (["run={tmp}/run", "classes=12"], "knows classes 0 to 9"),
        (["run={tmp}/run", "num=6000"], "num=6000: only 5000 training images are searched"),
        (["run={tmp}/run", "num=40", "among=30"], "num=40: only 30 training images are searched (among=30)"),
        (["run={tmp}/run", "num=40", "among=50", "neighbours=50"], "neighbours=50: only 50 training images"),
        (["run={tmp}/run", "num=40", "among=50", "perplexity=80"], "below 80"),
        (["run={tmp}/run", "checkpoint=best"], "has no best checkpoint"),
        (["run={tmp}/run", "num=1"], "num=1: should be greater than or equal to 2"),
        (["run={tmp}/run", "neighbour=3"], "unknown key 'neighbour' (did you mean 'neighbours'?)"),
        (["run={tmp}/run", "num=40", "among=50", "out={tmp}/run/status.json"], "choose out=FOLDER"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_one_line(
    run: Path, in_tmp: Path, words: list[str], message: str, capfd: pytest.CaptureFixture
) -> None:
    assert main(["embed", *(word.format(tmp=run.parent) for word in words)]) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1 and message in errors[0] and not (run / "embedded").exists()


@pytest.mark.parametrize("command", ["embed", "explain"])
def test_a_missing_extra_and_a_missing_checkpoint(run: Path, in_tmp: Path, command: str, capfd, monkeypatch) -> None:
    shutil.copytree(run / ".hydra", in_tmp / "run" / ".hydra")
    assert main([command, f"run={in_tmp / 'run'}"]) == 1
    assert "has no checkpoint yet" in capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "captum", None)
    assert main([command, f"run={run}"]) == 1
    errors = capfd.readouterr().err
    assert "needs captum: pip install 'gantool[analysis]'" in errors and "Traceback" not in errors
