"""Which image a row of a file of labels is for, and files that say that there are no labels."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from gantool.data.archive import archive
from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.data.labels import read_labels
from gantool.errors import GantoolError
from test_data_labels import draw


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


ROWS = {  # the path of an image, and of a row that is for it
    "its own": ("a/1.png", "a/1.png"),
    "its name": ("a/1.png", "1.png"),
    "its name without ending": ("a/1.png", "1"),
    "from here": ("a/1.png", "./1.png"),
    "from above": ("a/1.png", "data/a/1.png"),
    "from above, without ending": ("a/1.png", "data/a/1"),
    "from below": ("data/a/1.png", "a/1.png"),
    "from below, without ending": ("data/a/1.png", "a/1"),
    "of a set that was one folder": ("1.png", "a/1.png"),
}


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("more", ["", "gone/1.png,y\n", "gone/x/1.png,y\n"])
def test_a_row_is_for_the_image_of_its_path_and_no_other(case: str, more: str) -> None:
    image, row = ROWS[case]
    more = more if "/" in image else ""  # of a path that has no folder nobody knows where it is from
    text = f"file,kind\n{more}{row},x\nother.png,y\n"
    found = read_labels("labels.csv", text.encode(), [image, "other.png"], columns=[], values=False)
    assert found.of == {image: 0, "other.png": 1} and found.unused == ([more.partition(",")[0]] if more else [])


@pytest.mark.parametrize("row", ["b/1.png", "b/a1.png", "b/a/x/1.png", "aa/1.png", "/b/1"])
def test_a_row_for_an_absent_file_labels_no_other(row: str) -> None:
    for images in (["a/1.png"], ["a/1.png", "a/2.png"]):
        rows = "".join(f"{name},x\n" for name in images[1:])
        with pytest.raises(GantoolError, match=r"labels.csv .* a/1.png: add it, .*dataset.labels="):
            read_labels("labels.csv", f"file,kind\n{row},y\n{rows}".encode(), images, columns=[], values=False)


def test_the_first_row_of_a_file_without_a_heading_may_be_of_an_absent_image() -> None:
    found = read_labels("labels.csv", b"gone.png,x\n1.png,y\n", ["1.png"], columns=[], values=False)
    assert found.names == ["x", "y"] and found.of == {"1.png": 1} and found.unused == ["gone.png"]


@pytest.mark.parametrize("labels", [None, []])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_says_that_there_are_no_labels_is_believed(
    labels: object, packed: bool, tmp_path: Path, capsys
) -> None:
    root = draw(tmp_path / "images", ["00000/1.png", "00000/2.png", "00001/3.png"])
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    place = tmp_path / "a.zip" if packed else root
    if packed:
        with zipfile.ZipFile(place, "w") as file:
            for path in sorted(root.rglob("*.*")):
                file.write(path, path.relative_to(root))
    made = prepare(Folder(str(place), resolution=8))
    assert made.labels is None and made.class_names == []
    assert f"no labels, as {place / 'dataset.json'} says so: dataset.labels=folders" in capsys.readouterr().err
    assert Folder(str(place), labels="folders").class_names == ["00000", "00001"]


def test_a_heading_without_rows_says_nothing_of_labels(tmp_path: Path) -> None:
    (draw(tmp_path) / "labels.csv").write_text("file,kind\n")
    with pytest.raises(GantoolError, match=r"labels.csv .* 0.png, 1.png, 2.png and 3 more: add them"):
        Folder(str(tmp_path))


WIDE = {
    "a field without an end": (
        "labels.csv",
        "file,kind\n" + f'0.png,"{"a" * 200_000}\n',
        "labels.csv line 2: field larger",
    ),
    "two columns of a name": (
        "labels.csv",
        "file,kind,age,kind\n0.png,a,1,b\n",
        "two columns are called 'kind': rename",
    ),
    "a number beyond floats": ("dataset.json", f'{{"labels": [["0.png", [1{"0" * 400}]]]}}', "dataset.json is not"),
    "one below them": ("dataset.json", f'{{"labels": [["0.png", [-1{"0" * 400}]]]}}', "dataset.json is not"),
    "a class beyond them": ("dataset.json", f'{{"labels": [["0.png", 1{"0" * 400}]]}}', "dataset.json is not"),
}


@pytest.mark.parametrize("case", WIDE)
def test_a_file_that_cannot_be_meant_is_one_line(case: str) -> None:
    place, text, told = WIDE[case]
    with pytest.raises(GantoolError, match=told):
        read_labels(place, text.encode(), ["0.png"], columns=[], values=False)


def test_a_class_of_many_digits_is_a_word() -> None:
    text = f"0.png,1{'0' * 5000}\n1.png,2\n"
    assert read_labels("labels.csv", text.encode(), ["0.png", "1.png"], columns=[], values=False).of["1.png"] == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["labels.csv", "dataset.json"])
def test_a_damaged_file_of_labels_in_a_zip_is_one_line(method: int, name: str, tmp_path: Path) -> None:
    root = draw(tmp_path / "images", ["0.png", "1.png"])
    rows = json.dumps({"labels": [["0.png", 0], ["1.png", 1]]}) if name == "dataset.json" else "0.png,a\n1.png,b\n"
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file:
        file.writestr(name, rows)
        begin, end = 30 + len(name), file.fp.tell()  # pyright: ignore
        for path in sorted(root.iterdir()):
            file.write(path, path.name)
    content = (tmp_path / "a.zip").read_bytes()
    Folder(str(tmp_path / "a.zip"))
    told = []
    for place in range(begin, end):
        archive.cache_clear()
        damaged = bytearray(content)
        damaged[place] ^= 255
        (tmp_path / "a.zip").write_bytes(damaged)
        try:
            Folder(str(tmp_path / "a.zip"))  # some bits mean nothing
        except GantoolError as error:
            told.append(str(error))
    assert len(told) > (end - begin) / 2
    assert all(re.fullmatch(rf"cannot read .*a\.zip/{name} \(.+\): make the zip again, .+", line) for line in told)


EMPTY = {  # what is told of line and value
    "file,kind\n1.png,x\n2.png,\n": "line 3: value 2 is empty",
    "file,kind\n,x\n2.png,y\n": "line 2: value 1 is empty",
    "file;kind;\n1.png;x;1\n2.png;y;2\n": "line 1: value 3 is empty",
    ",file,kind\n0,1.png,x\n1,2.png,y\n": r"line 1: value 1 is empty (pandas: to_csv(index=False))",
    "file,kind\n1.png,x,1\n2.png,y\n": "line 2: should have 2 values, separated by ','",
}


@pytest.mark.parametrize("text", EMPTY)
def test_an_empty_value_is_told_from_one_too_few(text: str) -> None:
    with pytest.raises(GantoolError) as refused:
        read_labels("labels.csv", text.encode(), ["1.png", "2.png"], columns=[], values=False)
    assert str(refused.value) == f"labels.csv {EMPTY[text]}"


def test_rows_for_images_that_are_not_there_are_counted() -> None:
    for gone, told in ((["3.png"], "1 row for an image that is"), (["3.png", "4.png"], "2 rows for images that are")):
        text = "file,kind\n1.png,x\n2.png,y\n" + "".join(f"{name},x\n" for name in gone)
        found = read_labels("labels.csv", text.encode(), ["1.png", "2.png"], columns=[], values=False)
        assert [*found.notes()] == [f"labels.csv has {told} not there: {', '.join(gone)}"]
