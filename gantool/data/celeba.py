"""CelebA (Liu 2015): 202,599 aligned faces with 40 attributes."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from gantool.data.download import downloading
from gantool.data.files import Listing, digest, list_images
from gantool.data.pixels import decode_files
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice, did_you_mean

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
        resolution: int = 64,
        split: str = "train",
        download: bool = True,
        channels: int | None = None,
        attributes: Sequence[str] | str = (),
    ) -> None:
        check_choice("dataset.split", split, SPLITS)
        self.attributes = [attributes] if isinstance(attributes, str) else list(attributes)
        for attribute in self.attributes:
            if attribute not in ATTRIBUTE_NAMES:
                raise GantoolError(f"no CelebA attribute '{attribute}'{did_you_mean(attribute, ATTRIBUTE_NAMES)}")
        if len(self.attributes) > MAX_ATTRIBUTES:
            raise GantoolError(f"dataset.attributes: at most {MAX_ATTRIBUTES}, not {len(self.attributes)}")
        self.resolution = resolution
        self.channels = stored_channels(channels, native=3)
        self.split = split
        combinations = product(*[(f"not {attribute}", attribute) for attribute in self.attributes])
        self.class_names = [", ".join(names) for names in combinations] if self.attributes else []
        self.root = data_folder(root)
        self._listing: Listing = {}
        self._attribute_list: list[int] = []  # its size and time
        if self._folder():
            self._list()
        elif not download:
            raise GantoolError(f"no {IMAGES} in {self.root}: {self._by_hand()}, or set dataset.download=true")

    @property
    def notice(self) -> str:
        official = COUNTS[self.split]
        if not self._listing or len(self._listing) == official:
            return ""
        return f"celeba: partial copy in {self._folder()}, {len(self):,} of {official:,} images of split={self.split}"

    def __len__(self) -> int:
        return len(self._listing)

    def fingerprint(self) -> dict[str, object]:
        self.fetch()  # only the files at hand can say which images they are
        return {"files": digest(self._listing), "labels": self.class_names, "attribute_list": self._attribute_list}

    def fetch(self) -> None:
        if self._listing:
            return
        with downloading(self.name, self.root, self._by_hand()):
            if not self._folder():  # another process may have fetched it while this one waited
                _download(self.root)
        self._list()

    def read(self) -> Iterator[Decoded | Damaged]:
        return decode_files(self._path(IMAGES), list(self._listing), self._labels(), self.resolution, self.channels)

    def _folder(self) -> Path | None:
        return next((p for p in (self.root / "celeba", self.root) if (p / IMAGES).is_dir()), None)

    def _by_hand(self) -> str:
        files = f"{IMAGES}/, {ATTRIBUTES} and {PARTITION}"
        return f"put {files} into {self.root / 'celeba'} or set dataset.root= to the folder that holds them"

    def _path(self, name: str) -> Path:
        return (self._folder() or self.root) / name

    def _list(self) -> None:
        listing = list_images(self._path(IMAGES))
        if self.split != "all":
            parts = dict(_rows(self._path(PARTITION), "or set dataset.split=all"))
            listing = {name: status for name, status in listing.items() if parts.get(name) in SPLITS[self.split]}
        if not listing:
            raise GantoolError(
                f"no images of split={self.split} in {self._folder()}: set dataset.split= or dataset.root="
            )
        if self.attributes:  # only looked at: its 200,000 lines are read while preparing
            status = _existing(self._path(ATTRIBUTES), "or leave dataset.attributes empty").stat()
            self._attribute_list = [status.st_size, status.st_mtime_ns]
        self._listing = listing

    def _labels(self) -> list[int]:
        if not self.attributes:
            return [0] * len(self)
        rows = _rows(self._path(ATTRIBUTES), "or leave dataset.attributes empty")
        next(rows)  # the number of images
        header = next(rows)
        columns = [header.index(attribute) + 1 for attribute in self.attributes]
        # The first attribute is the highest bit, as in class_names.
        labels = {row[0]: int("".join("01"[row[c] == "1"] for c in columns), base=2) for row in rows}
        missing = [name for name in self._listing if name not in labels]
        if missing:
            raise GantoolError(
                f"{self._path(ATTRIBUTES)} lacks {missing[0]} and {len(missing) - 1} more: use the official file"
            )
        return [labels[name] for name in self._listing]


def _existing(path: Path, otherwise: str) -> Path:
    if not path.is_file():
        raise GantoolError(f"there is no {path}: put the official file there, {otherwise}")
    return path


def _rows(path: Path, otherwise: str) -> Iterator[list[str]]:
    return (line.split() for line in _existing(path, otherwise).read_text().splitlines() if line.strip())


def _download(root: Path) -> None:
    try:
        import gdown  # pyright: ignore[reportMissingImports]  # noqa: F401
    except ModuleNotFoundError as error:
        raise RuntimeError("it needs gdown: pip install 'gantool[celeba]'") from error
    from torchvision.datasets import CelebA as TorchvisionCelebA

    TorchvisionCelebA(str(root), download=True)
