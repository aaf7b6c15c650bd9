"""Any folder or zip of images, with the labels of a file beside them or its sub-folders as classes."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gantool.data.archive import Archive
from gantool.data.arrays import MOST, STACKS
from gantool.data.decoding import decode_files
from gantool.data.files import SUFFIXES, Files, Found, few, find_images, read_whole, status_of, suffix
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.labels import NAMES, Labels, read_labels
from gantool.data.pieces import first_of, pieces_of
from gantool.data.pixels import STACK
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.data.splits import SPLITS, below, has_file, has_images, looks_like_a_part, parts_of, top_of, training_of
from gantool.errors import GantoolError, check_choice
from gantool.shapes import Resolution

READ = "png, jpg, webp, tif, bmp, gif, ..."
# Kinds of files that hold pictures and are not read, also where more pictures lie in one.
_UNREAD = r"""\.(7z|arw|avi|bz2|cr[23]|czi|dng|eps|exr|fits?|gz|h5|hdf5|heics|ico|j2[ck]|jp2|
    jp[efx]|jxl|jxr|lmdb|m4v|mat|mdb|mkv|mov|mp4|mpe?g|mrc|nef|nii|nrrd|orf|parquet|pbm|pcx|pdf|pfm|pnm|psd|raf|
    rar|raw|rw2|svg|svs|tar|tfrecords?|tga|tgz|webm|wmv|xz|zip)"""


class Folder(Source):
    """Every image in `root`, a folder or a zip, and below, cropped to its centre square and resized; other files are
    told of.

    `split`: 'auto' takes the training part where `root` has nothing but parts, such as train, val and test, and all of
    it elsewhere; 'train', 'val' and 'test' name a part, whatever lies beside it, 'all' takes everything. The training
    part has the classes. `labels`: 'auto' takes those of labels.csv or dataset.json (data/labels.py), which lies in the
    part or beside it, `columns` of it or all; where there is no file, or with 'folders', the immediate sub-folders that
    hold images are the classes, if there are at least two of them and no image lies beside them; 'values' takes a
    file's numbers as a vector, also one column of whole numbers; 'none' gives no labels. `key` is what messages call
    the folder. `stacks`: pages of a TIFF are channels where there are as many as `channels` says.
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
        stacks: bool = True,
    ) -> None:
        check_choice("dataset.labels", labels, ("auto", "folders", "values", "none"))
        check_choice("dataset.split", split, ("auto", *SPLITS, "all"))
        self.root = data_folder(root)
        is_zip = self.root.is_file() and self.root.suffix.lower() == ".zip"
        alone = self.root if self.root.is_file() and self.root.suffix.lower() in SUFFIXES else None
        self.root = self.root if alone is None else self.root.parent
        if not self.root.is_dir() and not is_zip:
            raise GantoolError(f"{key}={root} is not a folder: set it to the folder of your images, or a zip of them")
        self.resolution = resolution
        whole = Archive(self.root) if is_zip else self.root
        folders, beside = ([], True) if split == "all" or alone else top_of(whole)
        self._parts = parts_of(folders)
        if split == "auto":
            only = len(self._parts) == len(folders) > 1 and not beside
            split = "train" if only and "train" in self._parts else "all"
        if split not in (*self._parts, "all"):
            there = f"only {few(folders)}" if folders else "and no folders"
            raise GantoolError(f"dataset.split={split}: {self.root} has no such part, {there}: choose all")
        self.split, part = split, self._parts.get(split, "")
        self.root, self._place = self.root / part, below(whole, part)
        found = Found({alone.name: status_of(alone)}) if alone else None
        self._found = images_in(key, self.root, self._place.found if isinstance(self._place, Archive) else found)
        self._pieces = pieces_of(self._place, list(self._found.images), channels if stacks else None)
        has, bits = first_of(self._place, self._pieces[0])
        self.channels = stored_channels(channels, native=has, most=MOST)
        self.bits = fitting.bits or bits
        self.fitting = replace(fitting, bits=self.bits)
        self._labels = Labels()
        columns = [columns] if isinstance(columns, str) else list(columns)
        places = [(self._place, self.root, "")] + ([(whole, self.root.parent, part)] if part else [])
        files = [(*place, name) for place in places for name in NAMES if has_file(place[0], name)]
        if files and labels in ("auto", "values"):
            place, folder, above, name = files[0]
            file = folder / name
            if not above:
                self._found.others.subtract([file.suffix])
                self._found.others += Counter()  # without what is now 0
            try:
                content = place.read(name) if isinstance(place, Archive) else read_whole(file)
            except (ValueError, OSError) as error:
                raise GantoolError(f"cannot read {file} ({error}): make the zip again, or name a folder") from error
            given = {"columns": columns, "values": labels == "values", "part": above}
            self._labels = read_labels(str(file), content, list(self._found.images), **given)
        elif columns or labels == "values":
            word = "dataset.labels=values" if labels == "values" else f"dataset.columns={','.join(columns)}"
            left = "" if labels in ("auto", "values") else f"dataset.labels={labels} ignores them: set it to auto"
            why = left or f"{self.root} has neither"
            raise GantoolError(f"{word} reads labels.csv or dataset.json, and {why}")
        self._tops = [piece.name.split("/")[0] if "/" in piece.name else "" for piece in self._pieces]
        classes = sorted(set(self._tops))
        if split in ("val", "test") and "" not in classes and "train" in self._parts:
            training = below(whole, self._parts["train"])
            more = [name for name in top_of(training)[0] if name not in classes and has_images(training, name)]
            classes = sorted([*classes, *more])
        # A file that says that there are no labels is believed.
        self._auto = labels in ("auto", "folders") and not self._labels.place
        self.class_names = classes if self._auto and len(classes) > 1 and "" not in classes else []
        self.vectors = self._labels.vectors
        # Whether reading the same files again with `channels` as a number may take pages for channels.
        self.paged = any(p.page not in (None, STACK) and suffix(p.name) in STACKS for p in self._pieces)
        if self._labels.of:
            self.class_names = self._labels.names
        elif self.class_names and all(map(looks_like_a_part, classes)):
            one = training_of(classes)
            advice = f"take one of them, {f'a zip of {one}' if is_zip else f'{key}={self.root / one}'}"
            raise GantoolError(
                f"{key}={root} holds {', '.join(classes)}: parts of a data set and not classes; {advice}, or all of "
                "them with dataset.labels=none"
            )

    @property
    def notice(self) -> str:
        about = self._labels.notes() if self._labels.of else self._about_classes()
        return "\n".join([*remarks(self._found), *self._about_part(), *about])

    def _about_part(self) -> Iterator[str]:
        if self.split != "all":
            others = [name for name in self._parts if name != self.split]
            more = f"; there {'is' if len(others) == 1 else 'are'} {' and '.join(others)} too" if others else ""
            yield f"dataset.split={self.split}: the images in {self.root}{more}"

    def _about_classes(self) -> Iterator[str]:
        tops, inner = sorted(set(self._tops) - {""}), {name.rpartition("/")[0] for name in self._found.images}
        if self._labels.place and len(tops) > 1 and "" not in self._tops:
            yield f"no labels, as {self._labels.place} says so: dataset.labels=folders makes {few(tops)} the classes"
        elif not self._auto:
            if len(parts := [name for name in tops if looks_like_a_part(name)]) > 1:
                yield f"all of {few(parts)} are trained on, though they look like parts of a data set"
        elif self.class_names:
            for name in filter(looks_like_a_part, tops):
                yield f"class {name} looks like a part of a data set and not like a class: move it elsewhere"
            for name in (name for name in self._found.folders if name not in tops):
                yield f"{name} holds no images, so it is no class: add some or remove it"
        elif "" in self._tops and len(tops) > 1:
            beside = self._tops.count("")
            yield f"no labels, as {beside:,} of the images lie beside the folders {few(tops)}: move them into folders"
        elif len(tops) == 1 and "" not in self._tops and len(inner) > 1:
            one = f"a zip of {tops[0]}" if isinstance(self._place, Archive) else f"dataset.root={self.root / tops[0]}"
            yield f"no labels, as there is only one folder: {one} makes its sub-folders the classes"

    def __len__(self) -> int:
        return len(self._pieces)

    def files(self) -> Files:
        """None of a zip, which has checksums of its own."""
        return {} if isinstance(self._place, Archive) else self._found.images

    def fingerprint(self) -> dict[str, object]:
        files = self._place.digest if isinstance(self._place, Archive) else self._found.digest()
        labels = json.dumps(sorted(self._labels.of.items())) if self._labels.of else ""
        file = {"labels": hashlib.sha256(labels.encode()).hexdigest()} if labels else {}
        stacked = {"stacked": True} if any(piece.page == STACK for piece in self._pieces) else {}
        return {"files": files, "classes": self.class_names, **file, **stacked}

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
        yield f"skipped: {listed}{' (unpack those you need, or convert to PNG or JPEG)' if pictures else ''}"
    if found.links:
        yield f"{few(found.links)}: remove unintended links"


def _unread(ending: str) -> bool:
    return re.fullmatch(_UNREAD, ending, re.VERBOSE) is not None
