"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 60,000 colour images each of 10 and 100 classes, 32 x 32."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gantool.data.download import downloading
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.pixels import fit_array
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice
from gantool.shapes import Resolution

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

FOLDER = "cifar-10-batches-py"
FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FINE = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm"""
NAMES = {"CIFAR10": CLASS_NAMES, "CIFAR100": FINE.split()}
FOLDERS = {"CIFAR10": FOLDER, "CIFAR100": "cifar-100-python"}
FILES_OF = {"CIFAR10": FILES, "CIFAR100": ["train", "test", "meta"]}
PARTS = {"train": [True], "test": [False], "all": [True, False]}  # torchvision's `train`


class Cifar10(Source):
    """CIFAR-10 in root/cifar-10-batches-py, or as `variant` CIFAR100 the fine classes of root/cifar-100-python, read by
    torchvision after it has checked the published checksums."""

    class_names = CLASS_NAMES

    def __init__(
        self,
        root: str | None,
        resolution: Resolution = 32,
        split: str = "train",
        download: bool = True,
        channels: int | None = None,
        variant: str = "CIFAR10",
        fitting: Fitting = PLAIN,
    ) -> None:
        check_choice("dataset.split", split, tuple(PARTS))
        check_choice("dataset.variant", variant, tuple(NAMES))
        self.variant, self.name, self.class_names = variant, variant.lower(), NAMES[variant]
        self.resolution, self.fitting = resolution, fitting.plain(self.name)
        self.channels = stored_channels(channels, native=3)
        self.split = split
        self.root = data_folder(root)
        if not download and not self._complete():
            title = variant.replace("R1", "R-1")
            raise GantoolError(f"no {title} in {self.root}: {self._by_hand()}, or set dataset.download=true")

    def __len__(self) -> int:
        return sum(50_000 if train else 10_000 for train in PARTS[self.split])

    def fingerprint(self) -> dict[str, object]:
        # The name is enough: nothing is ever read but the files with the published checksums.
        return {"published": FOLDERS[self.variant], "split": self.split}

    def fetch(self) -> None:
        if self._complete():
            return
        with downloading(self.name, self.root, self._by_hand()):
            self._open(download=True)

    def read(self) -> Iterator[Decoded | Damaged]:
        for train in PARTS[self.split]:
            try:
                part = self._open(train=train)
            except RuntimeError as error:
                place = self.root / FOLDERS[self.variant]
                raise GantoolError(f"{place} is damaged (not the published checksums): delete it, run again") from error
            except OSError as error:
                raise GantoolError(f"cannot read {self.root / FOLDERS[self.variant]}: {error.strerror}") from error
            for image, label in zip(part.data, part.targets, strict=True):
                yield Decoded(fit_array(image, self.resolution, self.channels, self.fitting), label)

    def _complete(self) -> bool:
        return all((self.root / FOLDERS[self.variant] / name).is_file() for name in FILES_OF[self.variant])

    def _by_hand(self) -> str:
        archive = self.variant.lower().replace("r1", "r-1")
        holds = f"dataset.root= to the folder that holds {FOLDERS[self.variant]}"
        return f"unpack {archive}-python.tar.gz into {self.root} or set {holds}"

    def _open(self, *, train: bool = True, download: bool = False) -> "CIFAR10":
        import torchvision.datasets  # 1.4 s: only while preparing

        kinds = {"CIFAR10": torchvision.datasets.CIFAR10, "CIFAR100": torchvision.datasets.CIFAR100}
        return kinds[self.variant](str(self.root), train=train, download=download)
