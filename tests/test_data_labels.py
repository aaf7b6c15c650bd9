"""Labels from files: labels.csv beside images, and StyleGAN's dataset.zip with its dataset.json."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from extent import some
from gantool import load, load_run
from gantool.cli.main import main
from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from runs import small

NAMES = [f"{i}.png" for i in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def draw(root: Path, names: list[str] = NAMES, side: int = 8) -> Path:
    noise = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (side, side, 3), np.uint8)).save(root / name)
    return root


def packed(root: Path, path: Path, labels: object) -> Path:
    """A zip as StyleGAN's dataset_tool.py makes one of the images in `root`."""
    with zipfile.ZipFile(path, "w") as file:
        for name in NAMES:
            file.write(root / name, f"00000/img{name}")
        if labels is not None:
            file.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def read(root: Path, **settings: object) -> ImageSet:
    return prepare(Folder(str(root), resolution=8, **settings), progress=False)  # pyright: ignore


def rows(*values: object) -> str:
    return "".join(f"{name},{value}\n" for name, value in zip(NAMES, values, strict=True))


CLASSES: dict[str, tuple[str, list[str], list[int]]] = {
    "words": ("file,kind\n" + rows(*"babacc"), ["a", "b", "c"], [1, 0, 1, 0, 2, 2]),
    "whole numbers": ("file,kind\n" + rows(10, 2, 10, 2, 3, 3), ["2", "3", "10"], [2, 0, 2, 0, 1, 1]),
    "no header": (rows(*"babacc"), ["a", "b", "c"], [1, 0, 1, 0, 2, 2]),
    "stems, other order": ("file;kind\n" + "".join(f"{i};{'xy'[i % 2]}\n" for i in (5, 4, 3, 2, 1, 0)), ["x", "y"],
                           [0, 1, 0, 1, 0, 1]),
    "mark, windows": ("\ufefffile\tkind\r\n" + "".join(f"{i}.png\tn {i % 2}\r\n" for i in range(6)), ["n 0", "n 1"],
                      [0, 1, 0, 1, 0, 1]),
    "quotes": ('file,kind\n' + rows(*['"a, b"', "c"] * 3), ["a, b", "c"], [0, 1, 0, 1, 0, 1]),
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
def test_a_column_of_words_or_whole_numbers_is_a_class(kind: str, tmp_path: Path) -> None:
    text, names, labels = CLASSES[kind]
    draw(tmp_path)
    (tmp_path / "labels.csv").write_bytes(text.encode())
    made = read(tmp_path)
    assert made.class_names == names and made.classes is not None and made.classes.tolist() == labels
    assert read(tmp_path, labels="none").labels is None and read(tmp_path, labels="folders").labels is None


VECTORS: dict[str, tuple[str, list[str], list[float]]] = {  # the last: of the second image
    "a number": ("file,age\n" + rows(0, 0.5, 1, 0.25, 1, 1), ["age"], [0.5]),
    "attributes": ("file,red,big\n" + rows("1,-1", "-1,1", "1,1", "1,1", "1,1", "1,1"), ["red", "big"], [0, 1]),
    "yes and no": ("file,red,big\n" + rows(*["yes,no", "no,Yes"] * 3), ["red", "big"], [0, 1]),
    "less, none, more": (
        "file,tilt,big\n" + rows("1,-1", "-1,1", "0,1", "1,1", "0,1", "1,1"),
        ["tilt", "big"],
        [-1, 1],
    ),
    "mixed": ("file,age,hair\n" + rows(*["0.5,red", "1e-1,black"] * 3), ["age", "hair:black", "hair:red"], [0.1, 1, 0]),
}


@pytest.mark.parametrize("kind", VECTORS)
def test_other_columns_are_a_vector(kind: str, tmp_path: Path, capsys) -> None:
    text, names, second = VECTORS[kind]
    (draw(tmp_path) / "labels.csv").write_text(text)
    for _ in range(2):  # the second time from the cache
        made = read(tmp_path)
        assert made.class_names == names and made.classes is None and made.vectors is not None
        assert made.vectors.dtype == torch.float32 and made.vectors[1].tolist() == pytest.approx(second)
    only = read(tmp_path, columns=names[0].partition(":")[0])
    assert only.class_names in ([names[0]], ["no", "yes"], ["-1", "1"], ["-1", "0", "1"])


def test_whole_numbers_are_a_vector_on_request_and_far_ones_told(tmp_path: Path, capsys) -> None:
    (draw(tmp_path) / "labels.csv").write_text("file,age\n" + rows(0, 90, 30, 20, 10, 5))
    prepare(Folder(str(tmp_path), resolution=8, labels="values"))
    assert "age (0 to 90)" in (said := capsys.readouterr().err) and "far from 0" in said
    made = read(tmp_path, labels="values")
    assert made.vectors is not None and made.vectors[1].tolist() == [90]


@pytest.mark.parametrize("vector", [False, True])
def test_stylegans_zip_is_read_where_it_lies(vector: bool, tmp_path: Path, monkeypatch) -> None:
    root = draw(tmp_path / "images")
    labels = [[f"00000/img{name}", [0.5, i / 6] if vector else i % 3] for i, name in enumerate(NAMES)]
    path, monkeypatch_cwd = packed(root, tmp_path / "dataset.zip", labels), monkeypatch
    monkeypatch_cwd.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    made = read(path)
    assert sorted(tmp_path.rglob("*")) == before
    assert torch.equal(made.images, read(root).images) and made.labels is not None
    assert made.class_names == (["0", "1"] if vector else ["0", "1", "2"])
    assert made.labels.flatten()[:3].tolist() == pytest.approx([0.5, 0, 0.5] if vector else [0, 1, 2])
    other = packed(root, tmp_path / "other.zip", None)
    assert read(other).labels is None and read(other).fingerprint != made.fingerprint


def test_a_damaged_zip_is_one_line(tmp_path: Path) -> None:
    path = packed(draw(tmp_path / "images"), tmp_path / "a.zip", None)
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    with pytest.raises(GantoolError, match="1 damaged image: img0.png .*CRC.*00000/img0.png"):
        read(path)
    path.write_bytes(b"PK\3\4 nothing")
    with pytest.raises(GantoolError, match="a.zip .*name a folder"):
        read(path)


WRONG: dict[str, tuple[str, str, str]] = {
    "an image missing": ("labels.csv", "file,kind\n" + rows(*"abcabc")[:-8], " 5.png: add it"),
    "twice": ("labels.csv", rows(*"abcabc") + "3,a\n", "two rows for 3.png"),
    "a short row": ("labels.csv", "file,a,b\n" + rows(*["1,2"] * 5, "1"), "line 7: should have 3 values"),
    "an empty cell": ("labels.csv", "file,a\n" + rows(*"abcab", ""), "line 7: value 2 is empty"),
    "no columns": ("labels.csv", "file\n", "the first line should be a header"),
    "bytes": ("labels.csv", "\udcff", "save it as UTF-8"),
    "no list": ("dataset.json", '{"labels": 3}', 'is not {"labels": [[path,'),
    "no json": ("dataset.json", "[" * 100_000, 'is not {"labels": [[path,'),
    "a negative class": ("dataset.json", json.dumps({"labels": [["0.png", -1]]}), 'is not {"labels": [[path,'),
    "a huge class": ("dataset.json", json.dumps({"labels": [["0.png", 10**9]]}), 'is not {"labels": [[path,'),
    "nan": ("dataset.json", '{"labels": [["0.png", [NaN]]]}', 'is not {"labels": [[path,'),
    "both": ("dataset.json", '{"labels": [["0.png", [1]], ["1.png", 1]]}', "some labels are classes"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_one_line_that_names_it(kind: str, tmp_path: Path) -> None:
    name, text, told = WRONG[kind]
    (draw(tmp_path) / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(GantoolError) as error:
        read(tmp_path)
    assert told in str(error.value) and name in str(error.value) and "\n" not in str(error.value)
    read(tmp_path, labels="none")


def test_columns_and_values_need_a_file_that_has_them(tmp_path: Path) -> None:
    draw(tmp_path)
    for settings in ({"columns": ["age"]}, {"labels": "values"}):
        with pytest.raises(GantoolError, match="reads labels.csv or dataset.json, and .* has neither"):
            read(tmp_path, **settings)
    (tmp_path / "labels.csv").write_text("file,age\n" + rows(*range(6)))
    with pytest.raises(GantoolError, match="no column 'agee'.*did you mean 'age'"):
        read(tmp_path, columns=["agee"])


MODELS = {"dcgan": ["dataset.resolution=32"], "mlp": ["dataset.resolution=8"]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled")
    draw(root / "zebra", side=32)
    draw(root / "horse", side=32)
    listed = [f"{kind}/{name},{i / 6},{kind}\n" for kind in ("horse", "zebra") for i, name in enumerate(NAMES)]
    (root / "labels.csv").write_text("file,age,kind\n" + "".join(listed))
    return root


@pytest.mark.parametrize("model", some(MODELS, 1))
def test_a_conditional_run_takes_vectors(model: str, folders: Path, in_tmp: Path, capfd) -> None:
    run = in_tmp / "run"
    words = ["dataset=folder", f"dataset.root={folders}", "model.conditional=true", "auxiliary=acgan", *MODELS[model]]
    words += ["monitor=[samples]", "+model.discriminator.condition=projection"]
    assert main(small(run, *words, model=model, rounds=2)) == 0
    assert main(["sample", f"run={run}", "num=4", "classes=[kind:zebra+age:0.5,kind:horse]", "format=npz",
                 f"out={in_tmp / 'a'}"]) == 0  # fmt: skip
    with np.load(in_tmp / "a" / "samples.npz") as made:
        assert made["arr_1"].tolist() == [[0.5, 0, 1], [0, 1, 0]] * 2
    assert main(["sample", f"run={run}", "num=4", "format=png", f"out={in_tmp / 'b'}"]) == 0
    assert read(in_tmp / "b").class_names == ["age", "kind:horse", "kind:zebra"]
    opened = load_run(run, device="cpu")
    one, other = (opened.sample(2, labels=[word]) for word in ("age:0", "age:30"))
    assert not torch.equal(one, other)
    assert main(["export", f"run={run}", "format=snapshot"]) == 0
    generator = load(run / "exported")
    assert generator.class_names == opened.labelled.names and len(generator.sample(3, labels=["kind:zebra"])) == 3
    capfd.readouterr()
    assert main(["sample", f"run={run}", "classes=kind:zebr"]) == 1
    assert "did you mean 'kind:zebra'" in capfd.readouterr().err


def test_classes_are_asked_for_by_name(folders: Path, in_tmp: Path, capfd) -> None:
    run = in_tmp / "run"
    words = ["dataset=folder", f"dataset.root={folders}", "dataset.labels=folders", "dataset.resolution=8"]
    assert main(small(run, *words, "monitor=none", model="mlp", rounds=1)) == 0
    assert (
        "folder has 2 classes that this model does not use: model.conditional=true uses them" in capfd.readouterr().out
    )
    run = in_tmp / "conditional"
    assert main(small(run, *words, "model.conditional=true", "monitor=none", model="mlp", rounds=1)) == 0
    assert "not told" not in capfd.readouterr().out
    for word, place in (("zebra", "a"), ("1", "b")):
        words = ["sample", f"run={run}", "num=3", f"classes={word}", "format=npz", f"out={in_tmp / place}"]
        assert main(words) == 0
    with np.load(in_tmp / "a" / "samples.npz") as named, np.load(in_tmp / "b" / "samples.npz") as numbered:
        assert (named["arr_0"] == numbered["arr_0"]).all() and named["arr_1"].tolist() == [1, 1, 1]
    opened = load_run(run, device="cpu")
    assert torch.equal(opened.sample(3, labels="zebra"), opened.sample(3, labels=torch.ones(3, dtype=torch.int64)))
    capfd.readouterr()
    assert main(["sample", f"run={run}", "classes=zebar"]) == 1
    assert "classes=zebar (did you mean 'zebra'?): " in (said := capfd.readouterr().err)
    assert "knows classes 0 to 1 (horse, zebra)" in said


def test_another_part_is_labelled_by_the_runs_names(in_tmp: Path, capfd) -> None:
    root, run = in_tmp / "images", in_tmp / "run"
    for part, kinds in (("train", "abcabc"), ("test", "accaca")):
        (draw(root / part, side=32) / "labels.csv").write_text("file,kind\n" + rows(*kinds))
    words = ["dataset=folder", f"dataset.root={root}", "dataset.resolution=8", "model.conditional=true", "monitor=none"]
    assert main(small(run, *words, model="mlp", rounds=1)) == 0
    images = load_run(run, device="cpu").images(split="test")
    assert images.class_names == ["a", "b", "c"] and images.labels is not None
    assert images.labels.tolist() == [0, 2, 2, 0, 2, 0]
    (root / "test" / "labels.csv").write_text("file,kind\n" + rows(*"abdabd"))
    capfd.readouterr()
    assert main(["evaluate", f"run={run}", "split=test", "features=efficientnet", "score=fd", "num=4"]) == 1
    told = f"folder test has labels that {run} was not trained with: d; remove or rename them"
    assert told in (said := capfd.readouterr().err) and said.count("error:") == 1
