"""CelebA (Liu 2015): 202,599 aligned faces with 40 attributes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from gantool.data.decoding import decode_files
from gantool.data.download import downloading
from gantool.data.files import File, Files, Found, find_images, status_of
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.folder import remarks
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice, did_you_mean
from gantool.shapes import Resolution

IMAGES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
SPLITS = {"train": ["0"], "valid": ["1"], "test": ["2"], "all": ["0", "1", "2"]}
COUNTS = {"train": 162_770, "valid": 19_867, "test": 19_962, "all": 202_599}
MAX_ATTRIBUTES = 8  # 256 classes
_HEADER = """5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
    Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup
    High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose
    Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
    Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young"""
ATTRIBUTE_NAMES = _HEADER.split()


class CelebA(Source):
    """The official layout in `root` or root/celeba: img_align_celeba/ and the lists beside it; copies may be partial.

    `attributes`: k names, for labels of 2^k classes, one for each combination; none for no labels.
    `split` follows list_eval_partition.txt, which split='all' does without.
    """

    name = "celeba"

    def __init__(
        self,
        root: str | None,
        resolution: Resolution = 64,
        split: str = "train",
        download: bool = True,
        channels: int | None = None,
        attributes: Sequence[str] | str = (),
        fitting: Fitting = PLAIN,
    ) -> None:
        check_choice("dataset.split", split, tuple(SPLITS))
        self.attributes = [attributes] if isinstance(attributes, str) else list(attributes)
        for attribute in self.attributes:
            if attribute not in ATTRIBUTE_NAMES:
                raise GantoolError(f"no CelebA attribute '{attribute}'{did_you_mean(attribute, ATTRIBUTE_NAMES)}")
        if len(self.attributes) > MAX_ATTRIBUTES:
            raise GantoolError(f"dataset.attributes: choose at most {MAX_ATTRIBUTES}, not {len(self.attributes)}")
        self.resolution, self.fitting = resolution, fitting.plain(self.name)
        self.channels = stored_channels(channels, native=3)
        self.split = split
        combinations = product(*[(f"not {attribute}", attribute) for attribute in self.attributes])
        self.class_names = [", ".join(names) for names in combinations] if self.attributes else []
        self.root = data_folder(root)
        self._found = Found()
        self._lists: dict[str, File] = {}
        self._unlisted = 0  # images that no row of the partition names
        if self._folder():
            self._list()
        elif not download:
            raise GantoolError(f"no {IMAGES} in {self.root}: {self._by_hand()}, or set dataset.download=true")

    @property
    def notice(self) -> str:
        official, lines = COUNTS[self.split], [*remarks(self._found)]
        if self._unlisted:
            lines.append(f"{self._unlisted:,} images are not in {PARTITION} and so in no split: they are left out")
        if len(self) not in (0, official):
            where = f"partial copy in {self._folder()}"
            lines.append(f"{where}, {len(self):,} of {official:,} images of split={self.split}")
        return "\n".join(lines)

    def __len__(self) -> int:
        return len(self._found.images)

    def files(self) -> Files:
        return self._found.images | self._lists

    def fingerprint(self) -> dict[str, object]:
        self.fetch()  # only the files at hand can say which images they are
        lists = {name: [file.status.st_size, file.status.st_mtime_ns] for name, file in self._lists.items()}
        return {"files": self._found.digest(), "labels": self.class_names, "lists": lists}

    def fetch(self) -> None:
        if self._found.images:
            return
        with downloading(self.name, self.root / "celeba", self._by_hand()):
            if not self._folder():  # another process may have fetched it while this one waited
                _download(self.root)
        self._list()

    def read(self) -> Iterator[Decoded | Damaged]:
        folder = (self._folder() or self.root) / IMAGES
        names, labels = list(self._found.images), self._labels()
        return decode_files(folder, names, labels, self.resolution, self.channels, self.fitting)

    def _folder(self) -> Path | None:
        return next((p for p in (self.root / "celeba", self.root) if (p / IMAGES).is_dir()), None)

    def _by_hand(self) -> str:
        files = f"{IMAGES}/, {ATTRIBUTES} and {PARTITION}"
        return f"put {files} into {self.root / 'celeba'} or set dataset.root= to the folder that holds them"

    def _path(self, name: str) -> Path:
        return (self._folder() or self.root) / name

    def _list(self) -> None:
        found = find_images(self._path(IMAGES))
        images, lists = found.images, {}
        if self.split != "all":
            lists[PARTITION] = status_of(_existing(self._path(PARTITION), "or set dataset.split=all"))
            parts = {row[0]: row[1] for row in self._rows(PARTITION, 2, ("0", "1", "2"))}
            self._unlisted = sum(name not in parts for name in images)
            images = {name: file for name, file in images.items() if parts.get(name) in SPLITS[self.split]}
        if not images:
            raise GantoolError(
                f"no images of split={self.split} in {self._folder()}: set dataset.split= or dataset.root="
            )
        if self.attributes:  # only looked at: its 200,000 lines are read while preparing
            lists[ATTRIBUTES] = status_of(_existing(self._path(ATTRIBUTES), "or leave dataset.attributes empty"))
        self._found, self._lists = replace(found, images=images), lists

    def _labels(self) -> list[int]:
        if not self.attributes:
            return [0] * len(self)
        header = _lines(self._path(ATTRIBUTES))[1:2]
        columns = [header[0].index(name) + 1 for name in self.attributes if header and name in header[0]]
        if len(columns) < len(self.attributes):
            raise self._not_official(ATTRIBUTES, 2)
        rows = self._rows(ATTRIBUTES, 1 + len(header[0]), ("1", "-1"), skip=2)
        # The first attribute is the highest bit, as in class_names.
        labels = {row[0]: int("".join("01"[row[c] == "1"] for c in columns), base=2) for row in rows}
        missing = [name for name in self._found.images if name not in labels]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise GantoolError(f"{self._path(ATTRIBUTES)} lacks {missing[0]}{more}: use the official file")
        return [labels[name] for name in self._found.images]

    def _rows(self, name: str, width: int, values: tuple[str, ...], skip: int = 0) -> list[list[str]]:
        """The rows of a list: the name of an image, and values; raises GantoolError for others, and two of one name."""
        rows, seen = _lines(self._path(name))[skip:], set()
        for number, row in enumerate(rows, start=skip + 1):
            if len(row) != width or row[0] in seen or not set(row[1:]) <= set(values):
                raise self._not_official(name, number)
            seen.add(row[0])
        return rows

    def _not_official(self, name: str, number: int) -> GantoolError:
        return GantoolError(f"{self._path(name)} is not the official list (see line {number}): put that file there")


def _existing(path: Path, otherwise: str) -> Path:
    if not path.is_file():
        raise GantoolError(f"there is no {path}: put the official file there, {otherwise}")
    return path


def _lines(path: Path) -> list[list[str]]:
    """The words of each line that has any; some editors begin a file with a byte order mark, which is no word."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GantoolError(f"cannot read {path} ({error}): put the official file there") from error
    return [line.split() for line in text.splitlines() if line.strip()]


def _download(root: Path) -> None:
    try:
        import gdown  # pyright: ignore[reportMissingImports]  # noqa: F401
    except ModuleNotFoundError as error:
        raise RuntimeError("it needs gdown: pip install 'gantool[celeba]'") from error
    from torchvision.datasets import CelebA as TorchvisionCelebA

    TorchvisionCelebA(str(root), download=True)
