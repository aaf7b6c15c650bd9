"""Labels from a file beside the images: labels.csv, or the dataset.json of StyleGAN's tools."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gantool.data.files import SUFFIXES, few, suffix
from gantool.errors import GantoolError, did_you_mean

NAMES = ("labels.csv", "dataset.json")
MOST = 100_000  # classes or numbers of an image
FAR = 10  # from 0: a number that a network is not to be handed as it is
_FLAGS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0, "-1": 0.0}
_ZEROS = {"false", "no", "0"}  # beside one of them -1 is a number of its own

Label = int | tuple[float, ...]  # a class, or a vector


@dataclass(frozen=True)
class Labels:
    """What a file says of images: the class of each, or a vector of attributes (0 and 1) and numbers, or that they have
    none: then `of` is empty, and `place` is not."""

    names: list[str] = field(default_factory=list)  # of the classes, or of the numbers in a vector
    of: dict[str, Label] = field(default_factory=dict)  # by the name of an image
    vectors: bool = False
    place: str = ""
    unused: list[str] = field(default_factory=list)  # rows for images that are not there

    def notes(self) -> Iterable[str]:
        """What the user should know."""
        if self.unused:
            one, some = "1 row for an image that is", f"{len(self.unused):,} rows for images that are"
            yield f"{self.place} has {one if len(self.unused) == 1 else some} not there: {few(self.unused)}"
        if self.vectors:
            columns = list(zip(*self.of.values(), strict=True))  # pyright: ignore
            spans = [(min(column), max(column)) for column in columns]
            listed = [f"{name} ({low:g} to {high:g})" for name, (low, high) in zip(self.names, spans, strict=True)]
            yield f"labels are vectors of {len(listed)}: {few(listed)}"
            far = [n for n, span in zip(self.names, spans, strict=True) if max(map(abs, span)) > FAR]
            if far:
                yield f"{few(far)}: numbers far from 0 train badly; scale them to about -1 to 1 in {self.place}"


def read_labels(
    place: str, content: bytes, images: Sequence[str], *, columns: Sequence[str], values: bool, part: str = ""
) -> Labels:
    """The labels in a file of one of NAMES, for `images`, by their paths beside it, or in the folder `part` beside it:
    then its other rows are for other parts.

    labels.csv: a row for each image, its path, name, or name without ending first; of the other columns, `columns` or
    all: one of words or whole numbers is a class, unless `values` asks for a vector; else a vector, with 0 or 1 for
    yes and no, a 0 or 1 for each word, and numbers as they are. dataset.json: {"labels": [[path, class or vector]]},
    or {"labels": null}: there are none. Raises GantoolError that names the `place` and the line of a mistake, and where
    an image has no label.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GantoolError(f"{place} is not UTF-8 text ({error}): save it as UTF-8") from error
    above = f"{part}/" if part else ""
    images = [above + name for name in images]
    if place.endswith(".json"):
        if columns:
            raise GantoolError(f"dataset.columns={','.join(columns)}: {place} has no columns; leave it out")
        names, rows, vectors = _json(place, text)
    else:
        names, rows, vectors = _csv(place, text, images, columns, values=values)
    if not rows and place.endswith(".json"):
        return Labels(place=place)
    known, found, unused = _index(images), {}, []
    for name, label in rows:
        image = _image_of(name.removeprefix("./"), known)
        if image is None:
            unused.append(name)
        elif image in found:
            raise GantoolError(f"{place} has two rows for {image}: keep one")
        else:
            found[image] = label
    if missing := [name for name in images if name not in found]:
        add = "add it" if len(missing) == 1 else "add them"
        raise GantoolError(f"{place} has no row for {few(missing)}: {add}, or set dataset.labels=folders or none")
    of = {name.removeprefix(above): label for name, label in found.items()}
    return Labels(names, of, vectors, place, [] if part else unused)


def _index(images: Sequence[str]) -> dict[str, str]:
    """Images by path, and by name and name without ending where only one has it."""
    found = {name: name for name in images}
    for short in (lambda n: n.rpartition("/")[2], lambda n: n.rpartition(".")[0], lambda n: _stem(n)):
        taken: dict[str, list[str]] = {}
        for name in images:
            taken.setdefault(short(name), []).append(name)
        found = {key: names[0] for key, names in taken.items() if len(names) == 1} | found
    return found


def _image_of(row: str, known: Mapping[str, str]) -> str | None:
    """The image that a row names by its path or name; also by the end of its path, or by a path that ends as its own,
    so that a row for another folder's file of the same name is none for it."""
    if row in known:
        return known[row]
    image = known.get(row.rpartition("/")[2])
    if image is None or "/" not in image:
        return image
    paths = (image, image.rpartition(".")[0])
    return image if any(f"/{a}".endswith(f"/{b}") for path in paths for a, b in ((path, row), (row, path))) else None


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _json(place: str, text: str) -> tuple[list[str], list[tuple[str, Label]], bool]:
    wrong = GantoolError(f'{place} is not {{"labels": [[path, class or list of numbers], ...]}}: mend or remove it')
    try:
        listed: Any = json.loads(text)["labels"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise wrong from error
    if listed is None or listed == []:
        return [], [], False
    rows: list[tuple[str, Label]] = []
    for row in listed if isinstance(listed, list) else [None]:
        match row:
            case [str(name), bool()]:
                raise wrong
            case [str(name), int(label)] if 0 <= label < MOST:
                rows.append((name, label))
            case [str(name), [_, *_] as numbers] if len(numbers) < MOST and all(map(_is_number, numbers)):
                rows.append((name, tuple(map(float, numbers))))
            case _:
                raise wrong
    sizes = {len(label) if isinstance(label, tuple) else 0 for _, label in rows}
    if len(sizes) > 1:
        raise GantoolError(f"{place}: some labels are classes and some are lists, or lists differ in length")
    vectors = sizes != {0}
    count = sizes.pop() if vectors else 1 + max(label for _, label in rows if isinstance(label, int))
    return list(map(str, range(count))), rows, vectors


def _is_number(value: object) -> bool:
    """One that a float holds; whole numbers of JSON may have any number of digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _csv(
    place: str, text: str, images: Sequence[str], columns: Sequence[str], *, values: bool
) -> tuple[list[str], list[tuple[str, Label]], bool]:
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    mark = max(",;\t", key=first.count)
    reader = csv.reader(lines, delimiter=mark)
    try:
        rows = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:  # a quote that is not closed makes one value of all that follows
        raise GantoolError(f"{place} line {reader.line_num}: {error}: mend it, and close each quote") from error
    width = len(rows[0]) if rows else 0
    if width < 2:
        raise GantoolError(f"{place}: the first line should be a header such as file,class, then a row for each image")
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise GantoolError(f"{place} line {number}: should have {width} values, separated by '{mark}'")
        if "" in row:
            fix = " (pandas: to_csv(index=False))" if number == 1 and not row[0] else ""
            raise GantoolError(f"{place} line {number}: value {row.index('') + 1} is empty{fix}")
    known = _index(images)
    headed = rows[0][0] not in known and suffix(rows[0][0]) not in SUFFIXES  # a file that is not here is no heading
    header = rows[0] if headed else ["file", *(["label"] if width == 2 else [f"label{i}" for i in range(1, width)])]
    rows = rows[headed:]
    if twice := next((name for name in columns or header if header.count(name) > 1), None):
        raise GantoolError(f"{place}: two columns are called '{twice}': rename one")
    for name in columns:
        if name not in header[1:]:
            raise GantoolError(f"dataset.columns: {place} has no column '{name}'{did_you_mean(name, header[1:])}")
    chosen = [header.index(name) for name in columns] or list(range(1, width))
    cells = {header[place_of]: [row[place_of] for row in rows] for place_of in chosen}
    files = [row[0].replace("\\", "/") for row in rows]
    only = next(iter(cells.values()))
    if len(cells) == 1 and not values and not (_numbers(only) and not _whole(only)):
        names = sorted(set(only), key=lambda word: (int(word) if _whole(only) else 0, word))
        place_of_name = {name: index for index, name in enumerate(names)}
        return names, [(file, place_of_name[word]) for file, word in zip(files, only, strict=True)], False
    made = _vector_columns(place, cells)
    return list(made), list(zip(files, zip(*made.values(), strict=True), strict=True)), True


def _vector_columns(place: str, cells: Mapping[str, list[str]]) -> dict[str, list[float]]:
    made: dict[str, list[float]] = {}
    for name, column in cells.items():
        low = [cell.lower() for cell in column]
        if set(low) <= _FLAGS.keys() and not ("-1" in low and _ZEROS & set(low)):
            made[name] = [_FLAGS[cell] for cell in low]
        elif _numbers(column):
            made[name] = [float(cell) for cell in column]
        else:
            words = sorted(set(column))
            if len(words) > max(20, len(column) // 2):
                raise GantoolError(
                    f"{place}: column {name} has {len(words):,} different words: choose others by dataset.columns="
                )
            made |= {f"{name}:{word}": [float(cell == word) for cell in column] for word in words}
    return made


def _numbers(column: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(float(cell)) for cell in column)
    except ValueError:
        return False


def _whole(column: Sequence[str]) -> bool:
    """Numbers that int() reads: it takes no more than some thousand digits."""
    return all(len(cell) < 1000 and cell.removeprefix("-").isdecimal() for cell in column)
