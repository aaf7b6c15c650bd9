"""samples/: the image grids of a run as PNG files."""

from pathlib import Path

from gantool.game import Progress
from gantool.logging.grid import save_png
from gantool.logging.record import Record


class SampleFolder:
    """Writes 'samples/generated' at 12,048 images to `run_dir`/samples/generated-000012.048.png."""

    def __init__(self, run_dir: Path) -> None:
        self.folder = run_dir / "samples"

    def write(self, record: Record, progress: Progress) -> None:
        """One file per image; a resumed run writes the same bytes over those of the session before it."""
        for tag, image in record.images.items():
            self.folder.mkdir(exist_ok=True)
            name = tag.removeprefix("samples/").replace("/", "-")
            save_png(image, self.folder / f"{name}-{progress.nimg / 1000:010.3f}.png")

    def flush(self) -> None:
        """Files are whole once written."""

    def close(self) -> None:
        """No file stays open."""
