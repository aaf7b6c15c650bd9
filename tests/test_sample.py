"""gantool sample: the images of a run, the same whatever the batch size, in every format; and what it refuses."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from gantool.batch import Draws
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.latents import Normal
from gantool.runs.labelled import Labelled
from gantool.runs.sampling import class_folders, columns_for
from gantool.runs.trained import load_run
from runs import newest, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("sampled") / "run"
    train(run, "model.conditional=true", "optimizer.lr=0.01", model="mlp", rounds=4)  # far from flat grey
    return run


@pytest.fixture
def run(trained: Path, in_tmp: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained, in_tmp / "run"))


def npz(run: Path, out: Path, *words: str) -> tuple[np.ndarray, np.ndarray]:
    assert main(["sample", f"run={run}", "format=npz", f"out={out}", *words]) == 0
    with np.load(out / "samples.npz") as archive:
        return archive["arr_0"], archive["arr_1"]


def test_the_same_images_whatever_the_batch_size(run: Path) -> None:
    whole, labels = npz(run, run / "a", "num=130")
    parts, again = npz(run, run / "b", "num=130", "batch_size=7")
    fewer, _ = npz(run, run / "c", "num=104")
    other, _ = npz(run, run / "d", "num=104", "seed=1")
    assert whole.shape == (130, 32, 32, 1) and whole.dtype == np.uint8
    assert labels.tolist() == [i % 10 for i in range(130)] == again.tolist()
    assert np.abs(whole.astype(int) - parts).max() <= 1, "up to the rounding of other kernels"
    assert (whole[:104] == fewer).all() and np.abs(fewer.astype(int) - other).max() > 20


def test_the_averaged_generator_or_the_live_one(run: Path) -> None:
    saved = newest(run)
    ema, live = npz(run, run / "a")[0], npz(run, run / "b", "ema=false")[0]
    name = "generator.layers.0.weight"
    assert not torch.equal(saved["ema"][name], saved["game"][f"generators.{name}"]) and (ema != live).any()


def test_a_grid_and_files_by_class(run: Path) -> None:
    assert main(["sample", f"run={run}", "num=20"]) == 0
    (grid,) = (run / "sampled").rglob("grid.png")
    assert above(grid, 2 * (10 * 34 + 2), 2 * (2 * 34 + 2)) > 0
    assert main(["sample", f"run={run}", "num=9", "classes=[0,1,2]", f"out={run / 'three'}"]) == 0
    assert above(run / "three" / "grid.png", 4 * (3 * 34 + 2), 4 * (3 * 34 + 2)) > 0
    assert main(["sample", f"run={run}", "num=9", "classes=3", f"out={run / 'one'}"]) == 0
    assert above(run / "one" / "grid.png", 4 * (3 * 34 + 2), 4 * (3 * 34 + 2)) == 0, "all of it is the class asked for"
    assert main(["sample", f"run={run}", "format=png", "num=6", "classes=[3,7]", f"out={run / 'files'}"]) == 0
    assert sorted(path.parent.name for path in (run / "files").rglob("*.png")) == ["3"] * 3 + ["7"] * 3
    archive, _ = npz(run, run / "a", "num=6", "classes=[3,7]")
    assert (np.asarray(Image.open(run / "files" / "7" / "000005.png")) == archive[5, :, :, 0]).all()


@pytest.mark.parametrize(
    ("num", "labels", "columns"),
    [(64, 0, 8), (64, 1, 8), (64, 2, 8), (64, 3, 9), (64, 10, 10), (20, 10, 10), (64, 20, 20), (64, 100, 8), (1, 0, 1)],
)
def test_a_grid_is_no_strip_and_labels_keep_to_columns(num: int, labels: int, columns: int) -> None:
    assert columns_for(num, labels) == columns


def above(path: Path, width: int, height: int) -> int:
    """Lines of the names above a grid of that size."""
    with Image.open(path) as image:
        found = image.height - height
        assert image.width == width
        assert not found or image.crop((0, 0, width, found)).convert("L").getextrema()[1] == 255
    return found


def test_a_folder_for_each_class_by_its_name(run: Path) -> None:
    strange = ["zebra", "a/b", "a b", "A-B", "../x", "\x1b[2J", "???", "", "été", "x" * 300]
    loaded = load_run(run)
    named = replace(loaded, labelled=Labelled(10, strange))
    found = class_folders(named)
    assert found[:2] == ["zebra", "a-b"] and found[6:9] == ["class006", "class007", "été"]
    assert len({one.casefold() for one in found}) == 10 and all(
        Path(one).name == one and one[0] != "." for one in found
    )
    assert all(len(one) < 120 and one.isprintable() for one in found)
    assert class_folders(replace(loaded, labelled=Labelled(2))) == ["class000", "class001"]


def test_images_of_other_settings_lie_apart(run: Path, capfd: pytest.CaptureFixture) -> None:
    many = f"classes=[{','.join('37' * 50)}]"
    asked = [["num=7"], ["num=3", "truncation=0.5"], ["num=3"], ["num=3"], ["num=3", "ema=false", many]]
    for words in asked:
        assert main(["sample", f"run={run}", "format=png", *words]) == 0
    found = {place.name: len(list(place.rglob("*.png"))) for place in (run / "sampled").iterdir()}
    assert sorted(found.values()) == [3, 3, 3, 7] and max(map(len, found)) < 120
    assert "000000.032-seed0-num-3_truncation-0.5-png" in found
    out = run / "mine"
    assert main(["sample", f"run={run}", "format=png", "num=3", f"out={out}"]) == 0
    (out / "0" / "notes.txt").touch()
    before = sorted(out.rglob("*"))
    assert main(["sample", f"run={run}", "format=png", "num=2", "truncation=0.5", f"out={out}"]) == 1
    assert f"out={out}: has images already: choose out=FOLDER" in capfd.readouterr().err
    assert sorted(out.rglob("*")) == before


def test_truncated_latents_follow_the_truncated_normal() -> None:
    torch.manual_seed(0)
    z = Normal(100).sample(Draws(500, torch.device("cpu")), truncation=0.8).flatten()
    assert z.abs().max() <= 0.8
    assert stats.kstest(z.numpy(), stats.truncnorm(-0.8, 0.8).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "run=FOLDER names it"),
        (["run={tmp}/rum"], "no such folder (did you mean 'run'?)"),
        (["run={tmp}"], "not a run folder: it has no .hydra/config.yaml"),
        (["run={tmp}/run", "classes=12"], "knows classes 0 to 9"),
        (["run={tmp}/run", "checkpoint=best"], "has no best checkpoint"),
        (["run={tmp}/run", "num=5000"], "format=png or npz"),
        (["run={tmp}/run", "format=jpg", "num=0"], "num=0: should be greater than 0"),
        (["run={tmp}/run", "device=cuda:7x"], "is not a device"),
        (["run={tmp}/run", "sed=1"], "unknown key 'sed' (did you mean 'seed'?)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_one_line(run: Path, words: list[str], message: str, capfd: pytest.CaptureFixture) -> None:
    words = [word.format(tmp=run.parent) for word in words]
    assert main(["sample", *words]) == 1
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors and not (run / "sampled").exists()


def test_an_unconditional_run_and_one_without_a_checkpoint(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    train(in_tmp / "run", "model/latent=uniform", rounds=1)
    capfd.readouterr()
    for word in ("tile=64", "size=run"):
        assert main(["sample", f"run={in_tmp / 'run'}", word]) == 1
        err = capfd.readouterr().err
        assert err.startswith(f"gantool sample: error: {word}: ") and "leave it out" in err
    assert main(["sample", f"run={in_tmp / 'run'}", "classes=3"]) == 1
    assert main(["sample", f"run={in_tmp / 'run'}", "truncation=0.5"]) == 1
    for path in (in_tmp / "run" / "checkpoints").iterdir():
        path.unlink()
    assert main(["sample", f"run={in_tmp / 'run'}"]) == 1
    errors = capfd.readouterr().err
    assert all(text in errors for text in ("is unconditional", "a uniform one has no tails", "has no checkpoint yet"))


VECTORS = Labelled(2, vectors=torch.rand(3, 2))
GIVEN = {  # labels of two images, and what is told of them
    "none for one": (Labelled(10), torch.tensor(3), "2 classes in 0 to 9, int64, not int64 of shape ()"),
    "another number": (Labelled(10), torch.arange(3), "not int64 of shape (3,)"),
    "another type": (Labelled(10), torch.ones(2, dtype=torch.int32), "not int32 of shape (2,)"),
    "too high": (Labelled(10), torch.tensor([3, 12]), "not 12"),
    "too low": (Labelled(10), torch.tensor([-1, 3]), "not -1"),
    "no vectors": (VECTORS, torch.arange(2), "(2, 2) finite float32, not int64 of shape (2,)"),
    "a vector": (VECTORS, torch.rand(2), "not float32 of shape (2,)"),
    "others": (VECTORS, torch.rand(2, 3), "not float32 of shape (2, 3)"),
    "a scalar": (VECTORS, torch.tensor(0.5), "not float32 of shape ()"),
    "not finite": (VECTORS, torch.tensor([[0, 1], [0.5, torch.nan]]), "not nan"),
    "beyond floats": (VECTORS, torch.tensor([[0, 1], [0, 1e300]], dtype=torch.float64), "not 1e+300"),
    "of nothing": (Labelled(0), torch.arange(2), "is unconditional"),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_labels_that_cannot_be_asked_for_are_one_line(kind: str) -> None:
    labelled, labels, told = GIVEN[kind]
    with pytest.raises(GantoolError, match=r"^labels: it .*" + re.escape(told)) as error:
        labelled.given(labels, 2, "it")
    assert "\n" not in str(error.value)


def test_labels_are_given_as_a_generator_takes_them() -> None:
    classes, vectors = torch.tensor([3, 9]), torch.tensor([[0.5, 1], [0, 0.25]])
    assert Labelled(10).given(classes, 2, "it") is classes
    for dtype in (torch.float64, torch.float32, torch.float16):
        given = VECTORS.given(vectors.to(dtype), 2, "it")
        assert given is not None and given.dtype == torch.float32 and torch.equal(given, vectors)
    for words, labels in ((None, [0, 1, 2, 0]), (["c", 0], [2, 0, 2, 0])):
        given = Labelled(3, ["a", "b", "c"]).given(words, 4, "it")
        assert given is not None and given.tolist() == labels
        same = Labelled(3, ["a", "b", "c"]).given(None, 4, "it", classes=words)
        assert same is not None and torch.equal(same, given)
    assert Labelled(0).given(None, 4, "it") is None
    with pytest.raises(GantoolError, match="classes and labels are two names of the same"):
        Labelled(10).given(classes, 2, "it", classes=[1, 2])


FOLDERS = Labelled(5, ["0", "1", "10", "11", "2"])  # as they are sorted
ASKED = [
    (FOLDERS, 2, 4),
    (FOLDERS, "2", 4),
    (FOLDERS, 10, 2),
    (FOLDERS, 3, 3),
    (Labelled(3, ["a", "b", "c"]), 2, 2),
    (Labelled(3), 2, 2),
    (Labelled(10, [str(digit) for digit in range(10)]), 7, 7),
]


@pytest.mark.parametrize(("labelled", "word", "label"), ASKED)
def test_a_number_that_is_the_name_of_a_class_means_that_class(labelled: Labelled, word: int | str, label: int) -> None:
    for words in (word, [word, word]):
        asked = labelled.asked(words, "it")
        assert asked is not None and set(asked.tolist()) == {label}
    for strange in (-1, labelled.num + 20, "zebra"):
        with pytest.raises(GantoolError, match=f"classes={strange}.*: it knows classes 0 to {labelled.num - 1}"):
            labelled.asked(strange, "it")
