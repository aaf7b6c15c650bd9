"""Any folder of images, with its sub-folders as classes where it has them."""

import re
from collections.abc import Iterator
from pathlib import Path

from gantool.data.files import SUFFIXES, Files, Found, few, find_images
from gantool.data.pixels import decode_files
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice

READ = "png, jpg, webp, tif, bmp, gif, ..."
# Kinds of files that hold pictures and are not read, also where more pictures lie in one.
_UNREAD = r"""\.(7z|arw|avi|bz2|cr[23]|czi|dcm|dicom|dng|eps|exr|fits?|gz|h5|hdf5|hei[cf]|heics|hif|ico|j2[ck]|jp2|
    jp[efx]|jxl|jxr|lmdb|m4v|mat|mdb|mkv|mov|mp4|mpe?g|mrc|nef|nii|np[yz]|nrrd|orf|parquet|pbm|pcx|pdf|pfm|pnm|psd|raf|
    rar|raw|rw2|svg|svs|tar|tfrecords?|tga|tgz|webm|wmv|xz|zip)"""
_PART = r"""(train|training|val|valid|validation|test|testing|dev|eval|holdout)([ _-]?(set|data|split|images|[ab]|\d+))?
    |images|masks|annotations|thumbs|thumbnails|ground[ _-]?truth"""
_SPLITS = {"train": "train(ing)?", "val": "val(id(ation)?)?|dev", "test": "test(ing)?"}


class Folder(Source):
    """Every image in `root` and below, cropped to its centre square and resized; other files are told of.

    `split`: 'auto' takes the training part where `root` has nothing but parts, such as train, val and test, and all of
    it elsewhere; 'train', 'val' and 'test' name a part, 'all' takes everything. The training part has the classes.
    `labels`: 'auto' makes the immediate sub-folders that hold images the classes, if there are at least two of them
    and no image lies beside them; 'none' gives no labels. `key` is what messages call the folder.
    """

    name = "folder"

    def __init__(
        self,
        root: str | None,
        resolution: int = 64,
        channels: int | None = None,
        labels: str = "auto",
        key: str = "dataset.root",
        split: str = "auto",
    ) -> None:
        check_choice("dataset.labels", labels, ("auto", "none"))
        check_choice("dataset.split", split, ("auto", *_SPLITS, "all"))
        self.root = data_folder(root)
        if not self.root.is_dir():
            raise GantoolError(f"{key}={root} is not a folder: set it to the folder of your images")
        self.resolution = resolution
        self.channels = stored_channels(channels, native=3)
        self._auto = labels == "auto"
        self._parts = {} if split == "all" else parts_of(self.root)
        if split == "auto":
            split = "train" if len(self._parts) > 1 and "train" in self._parts else "all"
        if split not in (*self._parts, "all"):
            there = few([path.name for path in folders_in(self.root)]) or "no folders"
            raise GantoolError(f"dataset.split={split}: {self.root} has no such part, but {there}: choose all")
        self.split = split
        self.root = self._parts.get(split, self.root)
        self._found = images_in(key, self.root)
        self._tops = [name.split("/")[0] if "/" in name else "" for name in self._found.images]
        classes = sorted(set(self._tops))
        if split in ("val", "test") and "" not in classes and "train" in self._parts:
            classes = sorted({*classes, *(f.name for f in folders_in(self._parts["train"]))})
        self.class_names = classes if self._auto and len(classes) > 1 and "" not in classes else []
        if self.class_names and all(map(looks_like_a_part, classes)):
            raise GantoolError(
                f"{key}={root} holds {', '.join(classes)}: parts of a data set and not classes; take one of them, "
                f"{key}={self.root / _training(classes)}, or all of them with dataset.labels=none"
            )

    @property
    def notice(self) -> str:
        return "\n".join([*remarks(self._found), *self._about_classes()])

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
        return len(self._found.images)

    def files(self) -> Files:
        return self._found.images

    def fingerprint(self) -> dict[str, object]:
        return {"files": self._found.digest(), "classes": self.class_names}

    def read(self) -> Iterator[Decoded | Damaged]:
        index = {name: i for i, name in enumerate(self.class_names)}
        labels = [index.get(top, 0) for top in self._tops]
        return decode_files(self.root, list(self._found.images), labels, self.resolution, self.channels)


def images_in(key: str, folder: Path) -> Found:
    """What lies in `folder`; raises GantoolError that calls it `key` where there are no images, or more that cannot be
    read."""
    found = find_images(folder)
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
