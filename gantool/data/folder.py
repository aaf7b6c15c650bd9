"""Any folder of images, with its sub-folders as classes where it has them."""

from collections.abc import Iterator

from gantool.data.files import digest, images_in
from gantool.data.pixels import decode_files
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice


class Folder(Source):
    """Every image in `root` and below, cropped to its centre square and resized; other files are ignored.

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
    ) -> None:
        check_choice("dataset.labels", labels, ("auto", "none"))
        self.root = data_folder(root)
        if not self.root.is_dir():
            raise GantoolError(f"{key}={root} is no folder: set it to the folder of your images")
        self.resolution = resolution
        self.channels = stored_channels(channels, native=3)
        self._listing = images_in(key, self.root)
        self._tops = [name.split("/")[0] if "/" in name else "" for name in self._listing]
        classes = sorted(set(self._tops))
        self.class_names = classes if labels == "auto" and len(classes) > 1 and "" not in classes else []

    def __len__(self) -> int:
        return len(self._listing)

    def fingerprint(self) -> dict[str, object]:
        return {"files": digest(self._listing), "classes": self.class_names}

    def read(self) -> Iterator[Decoded | Damaged]:
        index = {name: i for i, name in enumerate(self.class_names)}
        labels = [index.get(top, 0) for top in self._tops]
        return decode_files(self.root, list(self._listing), labels, self.resolution, self.channels)
