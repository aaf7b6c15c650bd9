"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of ten classes, 32 x 32."""

from collections.abc import Iterator

from gantool.data.download import downloading
from gantool.data.pixels import fit_array
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice

FOLDER = "cifar-10-batches-py"
FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PARTS = {"train": [True], "test": [False], "all": [True, False]}  # torchvision's `train`


class Cifar10(Source):
    """CIFAR-10 in root/cifar-10-batches-py, read by torchvision after it has checked the published checksums."""

    name = "cifar10"
    class_names = CLASS_NAMES

    def __init__(
        self,
        root: str | None,
        resolution: int = 32,
        split: str = "train",
        download: bool = True,
        channels: int | None = None,
    ) -> None:
        check_choice("dataset.split", split, tuple(PARTS))
        self.resolution = resolution
        self.channels = stored_channels(channels, native=3)
        self.split = split
        self.root = data_folder(root)
        if not download and not self._complete():
            raise GantoolError(f"no CIFAR-10 in {self.root}: {self._by_hand()}, or set dataset.download=true")

    def __len__(self) -> int:
        return sum(50_000 if train else 10_000 for train in PARTS[self.split])

    def fingerprint(self) -> dict[str, object]:
        # The name is enough: nothing is ever read but the files with the published checksums.
        return {"published": FOLDER, "split": self.split}

    def fetch(self) -> None:
        if self._complete():
            return
        from torchvision.datasets import CIFAR10

        with downloading(self.name, self.root, self._by_hand()):
            CIFAR10(str(self.root), download=True)

    def read(self) -> Iterator[Decoded | Damaged]:
        from torchvision.datasets import CIFAR10  # 1.4 s: only while preparing

        for train in PARTS[self.split]:
            try:
                part = CIFAR10(str(self.root), train=train)
            except RuntimeError as error:
                place = self.root / FOLDER
                raise GantoolError(f"{place} is damaged (not the published checksums): delete it, run again") from error
            except OSError as error:
                raise GantoolError(f"cannot read {self.root / FOLDER}: {error.strerror}") from error
            for image, label in zip(part.data, part.targets, strict=True):
                yield Decoded(fit_array(image, self.resolution, self.channels), label)

    def _complete(self) -> bool:
        return all((self.root / FOLDER / name).is_file() for name in FILES)

    def _by_hand(self) -> str:
        return f"unpack cifar-10-python.tar.gz into {self.root} or set dataset.root= to the folder that holds {FOLDER}"
