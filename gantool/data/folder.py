"""Any folder or zip of images, with the labels of a file beside them or its sub-folders as classes."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gantool.data.archive import Archive
from gantool.data.arrays import MOST
from gantool.data.decoding import decode_files
from gantool.data.files import SUFFIXES, Files, Found, few, find_images, read_whole, status_of
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.labels import NAMES, Labels, read_labels
from gantool.data.pieces import first_of, pieces_of
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice
from gantool.shapes import Resolution

READ = "png, jpg, webp, tif, bmp, gif, ..."
# Kinds of files that hold pictures and are not read, also where more pictures lie in one.
_UNREAD = r"""\.(7z|arw|avi|bz2|cr[23]|czi|dng|eps|exr|fits?|gz|h5|hdf5|heics|ico|j2[ck]|jp2|
    jp[efx]|jxl|jxr|lmdb|m4v|mat|mdb|mkv|mov|mp4|mpe?g|mrc|nef|nii|nrrd|orf|parquet|pbm|pcx|pdf|pfm|pnm|psd|raf|
    rar|raw|rw2|svg|svs|tar|tfrecords?|tga|tgz|webm|wmv|xz|zip)"""
_PART = r"""(train|training|val|valid|validation|test|testing|dev|eval|holdout)([ _-]?(set|data|split|images|[ab]|\d+))?
    |images|masks|annotations|thumbs|thumbnails|ground[ _-]?truth"""
_SPLITS = {"train": "train(ing)?", "val": "val(id(ation)?)?|dev", "test": "test(ing)?"}


class Folder(Source):
    """Every image in `root`, a folder or a zip, and below, cropped to its centre square and resized; other files are
    told of.

    `split`: 'auto' takes the training part where `root` has nothing but parts, such as train, val and test, and all of
    it elsewhere; 'train', 'val' and 'test' name a part, 'all' takes everything. The training part has the classes.
    `labels`: 'auto' takes those of labels.csv or dataset.json (data/labels.py), `columns` of it or all; where there is
    none, or with 'folders', the immediate sub-folders that hold images are the classes, if there are at least two of
    them and no image lies beside them; 'values' takes a file's numbers as a vector, also one column of whole numbers;
    'none' gives no labels. `key` is what messages call the folder.
    """

    name = "folder"

    def __init__(
        self,
        root: str | None,
        resolution: Resolution = 64,
        channels: int | None = None,
        labels: str = "auto",
        key: str = "dataset.root",
        split: str = "auto",
        columns: Sequence[str] | str = (),
        fitting: Fitting = PLAIN,
    ) -> None:
        check_choice("dataset.labels", labels, ("auto", "folders", "values", "none"))
        check_choice("dataset.split", split, ("auto", *_SPLITS, "all"))
        self.root = data_folder(root)
        is_zip = self.root.is_file() and self.root.suffix.lower() == ".zip"
        alone = self.root if self.root.is_file() and self.root.suffix.lower() in SUFFIXES else None
        self.root = self.root if alone is None else self.root.parent
        if not self.root.is_dir() and not is_zip:
            raise GantoolError(f"{key}={root} is not a folder: set it to the folder of your images, or a zip of them")
        self.resolution = resolution
        self._auto = labels in ("auto", "folders")
        self._parts = {} if split == "all" or is_zip or alone else parts_of(self.root)
        if split == "auto":
            split = "train" if len(self._parts) > 1 and "train" in self._parts else "all"
        if split not in (*self._parts, "all"):
            there = "is a zip" if is_zip else few([path.name for path in folders_in(self.root)]) or "no folders"
            raise GantoolError(f"dataset.split={split}: {self.root} has no such part, but {there}: choose all")
        self.split = split
        self.root = self._parts.get(split, self.root)
        self._place = Archive(self.root) if is_zip else self.root
        found = Found({alone.name: status_of(alone)}) if alone else None
        self._found = images_in(key, self.root, self._place.found if isinstance(self._place, Archive) else found)
        self._pieces = pieces_of(self._place, list(self._found.images), channels)
        has, bits = first_of(self._place, self._pieces[0])
        self.channels = stored_channels(channels, native=has, most=MOST)
        self.bits = fitting.bits or bits
        self.fitting = replace(fitting, bits=self.bits)
        self._labels = Labels()
        columns = [columns] if isinstance(columns, str) else list(columns)
        file = next((name for name in NAMES if self._has(name)), None) if labels in ("auto", "values") else None
        if file is not None:
            self._found.others.subtract([Path(file).suffix])
            self._found.others += Counter()  # without what is now 0
            content = self._place.read(file) if isinstance(self._place, Archive) else read_whole(self.root / file)
            given = {"columns": columns, "values": labels == "values"}
            self._labels = read_labels(str(self.root / file), content, list(self._found.images), **given)
        elif columns or labels == "values":
            word = "dataset.labels=values" if labels == "values" else f"dataset.columns={','.join(columns)}"
            left = "" if labels in ("auto", "values") else f"dataset.labels={labels} leaves them out: set it to auto"
            why = left or f"{self.root} has neither"
            raise GantoolError(f"{word} reads labels.csv or dataset.json, and {why}")
        self._tops = [piece.name.split("/")[0] if "/" in piece.name else "" for piece in self._pieces]
        classes = sorted(set(self._tops))
        if split in ("val", "test") and "" not in classes and "train" in self._parts:
            classes = sorted({*classes, *(f.name for f in folders_in(self._parts["train"]))})
        self.class_names = classes if self._auto and len(classes) > 1 and "" not in classes else []
        self.vectors = self._labels.vectors
        if self._labels.of:
            self.class_names = self._labels.names
        elif self.class_names and all(map(looks_like_a_part, classes)):
            raise GantoolError(
                f"{key}={root} holds {', '.join(classes)}: parts of a data set and not classes; take one of them, "
                f"{key}={self.root / _training(classes)}, or all of them with dataset.labels=none"
            )

    @property
    def notice(self) -> str:
        about = self._labels.notes() if self._labels.of else self._about_classes()
        return "\n".join([*remarks(self._found), *about])

    def _has(self, name: str) -> bool:
        return name in self._place.names if isinstance(self._place, Archive) else (self._place / name).is_file()

    def _about_classes(self) -> Iterator[str]:
        if self.split != "all":
            others = [name for name in self._parts if name != self.split]
            more = f"; there are {', '.join(others)} too" if others else ""
            yield f"dataset.split={self.split}: the images in {self.root}{more}"
        tops, inner = sorted(set(self._tops) - {""}), {name.rpartition("/")[0] for name in self._found.images}
        if not self._auto:
            if len(parts := [name for name in tops if looks_like_a_part(name)]) > 1:
                yield f"all of {few(parts)} are trained on, though they look like parts of a data set"
        elif self.class_names:
            for name in filter(looks_like_a_part, tops):
                yield f"class {name} looks like a part of a data set and not like a class: move it elsewhere"
            for name in (name for name in self._found.folders if name not in tops):
                yield f"{name} holds no images, so it is no class: add some or remove it"
        elif "" in self._tops and len(tops) > 1:
            beside = self._tops.count("")
            yield f"no labels, as {beside:,} of the images lie beside the folders {few(tops)}: move them for classes"
        elif len(tops) == 1 and "" not in self._tops and len(inner) > 1:
            yield f"no labels, as there is one folder: dataset.root={self.root / tops[0]} makes those in it the classes"

    def __len__(self) -> int:
        return len(self._pieces)

    def files(self) -> Files:
        """None of a zip, which has checksums of its own."""
        return {} if isinstance(self._place, Archive) else self._found.images

    def fingerprint(self) -> dict[str, object]:
        files = self._place.digest if isinstance(self._place, Archive) else self._found.digest()
        labels = json.dumps(sorted(self._labels.of.items())) if self._labels.of else ""
        file = {"labels": hashlib.sha256(labels.encode()).hexdigest()} if labels else {}
        return {"files": files, "classes": self.class_names, **file}

    def read(self) -> Iterator[Decoded | Damaged]:
        return self.read_from(0)

    def read_from(self, first: int) -> Iterator[Decoded | Damaged]:
        index = {name: i for i, name in enumerate(self.class_names)}
        tops, of = zip(self._pieces, self._tops, strict=True), self._labels.of
        labels = [of.get(piece.name, index.get(top, 0)) for piece, top in tops]
        how = (self.resolution, self.channels, self.fitting)
        return decode_files(self._place, self._pieces, labels, *how, first=first)


def images_in(key: str, folder: Path, found: Found | None = None) -> Found:
    """What lies in `folder`, or was `found` in a zip; raises GantoolError that calls it `key` where there are no
    images, or more that cannot be read."""
    found = find_images(folder) if found is None else found
    unread = {ending: num for ending, num in found.others.items() if _unread(ending)}
    if not found.images or len(found.images) < sum(unread.values()):
        listed = ", ".join(f"{ending} ({num:,})" for ending, num in (unread or found.others).items())
        beside = f", but {listed}" if listed else ""
        holds = f"{len(found.images):,}" if found.images else "no"
        fix = ": unpack or convert them to PNG or JPEG, or move them elsewhere" if unread else ""
        raise GantoolError(f"{key}={folder} holds {holds} images ({READ}){beside}{fix}")
    return found


def remarks(found: Found) -> Iterator[str]:
    """What was passed over, and links, in a line each."""
    if found.others:
        listed = ", ".join(f"{ending} ({num:,})" for ending, num in found.others.most_common())
        pictures = any(map(_unread, found.others))
        yield f"passed over: {listed}{' (unpack or convert to PNG or JPEG what is meant)' if pictures else ''}"
    if found.links:
        yield f"{few(found.links)}: remove the links that are not meant"


def folders_in(folder: Path) -> list[Path]:
    """Those that are not hidden, sorted."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise GantoolError(f"cannot read {error.filename}: {error.strerror}") from error


def parts_of(root: Path) -> dict[str, Path]:
    """The folders train, val and test of a data set by these names, however they are spelled; {} where there are two of
    one, as in a set with two sides, other folders, or images beside them."""
    found: dict[str, Path] = {}
    if any(path.suffix.lower() in SUFFIXES for path in root.iterdir() if path.is_file()):
        return {}
    for path in folders_in(root):
        name = next((name for name, spelled in _SPLITS.items() if _is_split(path.name, spelled)), None)
        if name is None or name in found:
            return {}
        found[name] = path
    return found


def _is_split(name: str, spelled: str) -> bool:
    return re.fullmatch(rf"({spelled})([ _-]?(set|data|split|images|\d+))?", name, re.IGNORECASE) is not None


def looks_like_a_part(name: str) -> bool:
    """True for train, val, testA, ...: the parts that data sets come in."""
    return re.fullmatch(_PART, name, re.IGNORECASE | re.VERBOSE) is not None


def _unread(ending: str) -> bool:
    return re.fullmatch(_UNREAD, ending, re.VERBOSE) is not None


def _training(parts: list[str]) -> str:
    return next((name for name in parts if name.lower().startswith("train")), parts[0])
