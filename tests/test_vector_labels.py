"""Every command on a run whose labels are vectors: it does its work, or says in one line what to do instead."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from extent import ALL, thorough
from gantool import load, load_run
from gantool.batch import Draws
from gantool.bench import compare as benchmark
from gantool.bench import dcgan_example
from gantool.cli.main import COMMANDS, OTHERS, main
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.games.gan import GAN
from gantool.latents import Structured
from gantool.losses import Hinge
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.embedding import Embedding
from gantool.metrics.per_class import OfClass
from gantool.metrics.score import Score
from gantool.monitors.scores import Scores
from gantool.networks.mlp import Discriminator, Generator
from gantool.runs.interpolation import between
from gantool.runs.labelled import Labelled
from gantool.runs.projection import load_latents
from gantool.runs.resuming import record_of
from gantool.runs.snapshot import save_snapshot
from runs import small

COLUMNS = ["age", "smiling", "kind:horse", "kind:zebra"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures with an age, and attributes."""
    root, noise, rows = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0), []
    for index in range(24):
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), np.uint8)).save(root / f"{index}.png")
        rows.append(f"{index},{index / 24},{index % 2},{'horse' if index % 3 else 'zebra'}\n")
    (root / "labels.csv").write_text("file,age,smiling,kind\n" + "".join(rows))
    return root


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All monitors that a run has by default look at it too."""
    folder = tmp_path_factory.mktemp("run") / "run"
    words = ["dataset=folder", f"dataset.root={images}", "dataset.resolution=8", "model.conditional=true"]
    words += ["score=fd", "features=digits", "monitor.scores.num=12"]
    assert main(small(folder, *words, model="mlp", rounds=2)) == 0
    return folder


DOES = {
    "train": "resume={run} trainer.duration=3it",
    "sample": "run={run} num=4 format=png classes=[age:0.5+smiling,kind:zebra]",
    "interpolate": "run={run} over=classes rows=2 steps=3 classes=[smiling,age:0.5]",
    "interpolate with the training vectors": "run={run} over=classes rows=3 steps=2 out={run}/rows",
    "project": "run={run} images={images} num=2 steps=3 starts=8 out={run}/any",
    "project, asked": "run={run} images={images} num=2 steps=3 starts=8 classes=smiling out={run}/asked",
    "interpolate what was projected": "run={run} latents={run}/any rows=2 steps=2",
    "truncation": "run={run} thresholds=[0.5,null] num=12 plot=false",
    "evaluate": "run={run} num=24 score=fd per_class=true",
    "embed": "run={run} num=6 among=12 perplexity=2 neighbours=2 rows=2",
    "explain": "run={run} latents=2 shown=1 directions=1 steps=3 images=2 integral_steps=4",
    "export": "run={run} format=snapshot",
    "report": "run={run}",
    "bench": "model=mlp dataset=folder dataset.root={images} dataset.resolution=8 model.conditional=true "
    "trainer.batch_size=4 model.latent.dim=8",
    "runs": "{run}",
    "diff": "{run} {run}",
}
HEAVY = {"bench", "project", "interpolate what was projected", "truncation", "embed", "explain"}
ELSEWHERE = {"calibrate", "list", "cache"}  # look at no run
REFUSES = {
    "evaluate run={run} num=24 score=cas": "cas needs classes and the labels of folder all are vectors",
    "evaluate run={run} num=24 score=fd features=classifier": "features=classifier learns classes, and the labels of",
    "interpolate run={run} over=classes classes=age": "only one is chosen: add another to classes=",
    "project run={run} images={images} classes=smilin": "did you mean 'smiling'",
}


def test_every_command_has_its_words() -> None:
    assert {case.split()[0].rstrip(",") for case in DOES} == {*COMMANDS, *OTHERS} - ELSEWHERE


def asked(run: Path, images: Path, command: str, words: str) -> int:
    return main([command, *words.format(run=run, images=images).split()])


@pytest.fixture(scope="module")
def done(run: Path, images: Path) -> Path:
    """The run once every command has looked at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "SECONDS", 0.01)
        for name in ("ALTERNATIONS", "WARM_UP", "CONVOLUTIONS"):
            patch.setattr(benchmark, name, 1)
        for name in ("BATCH", "WIDTH"):  # it is large
            patch.setattr(dcgan_example, name, 4)
        patch.setattr(benchmark, "_peak_memory", benchmark._play_alone)
        patch.chdir(run.parent)
        for case, words in DOES.items():
            if case in HEAVY and not ALL:
                continue
            assert asked(run, images, case.split()[0].rstrip(","), words) == 0, case
    return run


def test_a_row_goes_from_each_vector_to_the_next(done: Path) -> None:
    loaded = load_run(done, device="cpu")
    assert isinstance(loaded.game, GAN)
    z = torch.randn(1, 8).expand(2, -1)
    labels = torch.eye(len(COLUMNS))
    columns = between(loaded.game, loaded, (z, z), (labels[:2], labels[1:3]), path="linear", steps=3)
    made = loaded.game.generate(z, labels[1:3], loaded.generators)
    torch.testing.assert_close(columns[-1], made)
    torch.testing.assert_close(columns[0][1], made[0])
    halves = loaded.game.generate(z, (labels[:2] + labels[1:3]) / 2, loaded.generators)
    torch.testing.assert_close(columns[1], halves)
    assert (done / "rows" / "path.gif").is_file()


def test_vectors_of_numpy_are_labels(run: Path, tmp_path: Path) -> None:
    """It has float64 where nothing else is said."""
    loaded = load_run(run, device="cpu")
    save_snapshot(tmp_path / "a.safetensors", loaded)
    labels = torch.from_numpy(np.eye(len(COLUMNS)))
    for generator in (loaded, load(tmp_path / "a.safetensors")):
        made = generator.sample(4, labels=labels)
        assert labels.dtype == torch.float64 and torch.equal(made, generator.sample(4, labels=labels.float()))
    save_file({"z": torch.zeros(4, 8), "labels": labels}, tmp_path / "latents.safetensors")
    assert [t.dtype for t in load_latents(tmp_path, loaded, 8) if t is not None] == [torch.float32] * 2


def test_projected_images_have_vectors(done: Path, images: Path, tmp_path: Path, capfd) -> None:
    found = load_file(done / "asked" / "latents.safetensors")["labels"]
    assert found.tolist() == [[0, 1, 0, 0]] * 2
    for wrong in (found[:, :3].clone(), found / 0, torch.zeros(2, dtype=torch.int64)):
        save_file({"z": torch.zeros(2, 8), "labels": wrong}, tmp_path / "latents.safetensors")
        assert asked(done, images, "interpolate", f"run={{run}} latents={tmp_path}") == 1
        assert "its labels are not those of" in (said := capfd.readouterr().err) and said.count("\n") == 1


@thorough
def test_attributes_are_scored_each_by_itself(done: Path) -> None:
    (file,) = (done / "evaluated").rglob("*.json")
    scores = [name for name in json.loads(file.read_text())["scores"] if "/" in name]
    assert scores == [f"fd_digits/{name}" for name in COLUMNS[1:]]
    smiling = OfClass(Counts(), 1)
    side = Embedding(
        torch.zeros(5, 1), torch.zeros(5, 1), None, torch.tensor([[0.0, 1], [1, 0], [0.5, 1], [1, 1], [1, 0.5]])
    )
    assert smiling(side, side, 0) == 3


@pytest.mark.parametrize("words", REFUSES)
def test_what_has_no_meaning_is_one_line(words: str, run: Path, images: Path, capfd) -> None:
    command, rest = words.split(" ", 1)
    assert asked(run, images, command, rest) == 1
    said = capfd.readouterr().err
    (error,) = [line for line in said.splitlines() if not line.startswith("folder: ")]
    assert REFUSES[words].format(run=run) in error


class Counts(Score):
    """How many images it is shown."""

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        return len(fake)


@pytest.mark.parametrize("count", [4, 1200])
def test_scores_draw_labels_from_what_the_run_remembers(count: int) -> None:
    """Of many images it remembers some: standing statistics are then of the same labels in training and after."""
    labels, images = torch.rand(count, 4), torch.zeros(count, 1, 8, 8, dtype=torch.uint8)
    image_set = ImageSet(images, labels, COLUMNS, "", "folder", rows=torch.zeros(count, 2, dtype=torch.int64))
    shape: dict[str, Any] = {"resolution": 8, "channels": 1, "num_classes": 4, "hidden": [8]}
    networks = Generator(latent_dim=20, **shape), Discriminator(**shape)
    game = GAN(*networks, Structured(dim=20), Hinge(), conditional=True, num_classes=4)
    scores = Scores(DigitFeatures(), {"counts": Counts()}, image_set, torch.device("cpu"), game, num_classes=4, num=2)
    pool = scores.pool
    assert isinstance(pool, torch.Tensor) and len(pool) == min(count, 1000)
    assert torch.equal(pool, record_of(image_set)["vectors"])


@pytest.mark.parametrize("labels", [torch.tensor([2, 0, 1]), torch.rand(3, 4)], ids=["classes", "vectors"])
def test_codes_are_shown_of_the_first_label(labels: torch.Tensor) -> None:
    shape, latent = {"resolution": 8, "channels": 1, "num_classes": 4, "hidden": [8]}, Structured(dim=20)
    generator, discriminator = Generator(latent_dim=20, **shape), Discriminator(**shape)
    game = GAN(generator, discriminator, latent, Hinge(), conditional=True, num_classes=4).eval()
    draws = Draws(3, torch.device("cpu"))
    torch.manual_seed(0)
    shown = game.traversals(draws, labels, game.generators)
    torch.manual_seed(0)
    for name, (z, columns) in latent.traversals(draws).items():
        torch.testing.assert_close(shown[name][0], generator(z, torch.stack([labels[0]] * len(z))))
        assert shown[name][1] == columns


def test_a_card_says_that_labels_of_images_are_in_the_snapshot(done: Path) -> None:
    assert "the labels of 24 training images" in (done / "exported" / "README.md").read_text()


def test_vectors_of_another_part_follow_the_runs_names() -> None:
    trained = Labelled(3, ["age", "hair:black", "hair:red"], torch.zeros(1, 3))
    images, labels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([[1, 0.5], [1, 0.25]])
    made = trained.told(ImageSet(images, labels, ["hair:red", "age"], "", "folder", "test"), "a run")
    assert made.labels is not None and made.labels.tolist() == [[0.5, 0, 1], [0.25, 0, 1]]
    assert made.class_names == trained.names
    for names, columns, told in (
        (["age", "eyes"], labels, "has labels that a run was not trained with: eyes"),
        (["hair:black", "hair:red"], labels, "lacks labels that a run was trained with: age"),
        (["hair:black", "hair:red"], torch.tensor([0, 1]), "are classes, but a run was trained with vectors"),
    ):
        with pytest.raises(GantoolError, match=told):
            trained.told(ImageSet(images, columns, names, "", "folder", "test"), "a run")
