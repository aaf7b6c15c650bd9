"""What TensorBoard shows of an analysis, and its pictures as files."""

import math
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gantool.files import read_plain, whole, write_whole
from gantool.images import colours, to_uint8

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

_THUMBNAIL = 64  # pixels of a side
_SPRITE = 8192  # pixels of a side that a browser takes
_PROJECTOR = "projector_config.pbtxt"


class Board:
    """What TensorBoard shows of an analysis at `step`, the run's nimg; `writer` is logging.tensorboard.beside's: it
    adds to `place`, a run's folder or one of its own."""

    def __init__(self, writer: "SummaryWriter", place: Path, step: int) -> None:
        self.writer, self.place, self.step = writer, place, step

    def figure(self, tag: str, figure: "Figure", path: Path) -> None:
        """Written as a PNG file too."""
        with whole(path) as partial:
            figure.savefig(partial)
        with Image.open(path) as image:
            self.writer.add_image(tag, np.asarray(image.convert("RGB")), self.step, dataformats="HWC")

    def projector(
        self, tag: str, points: Tensor, images: Tensor, header: list[str], rows: Sequence[tuple[object, ...]], out: Path
    ) -> None:
        """Points (N, F) with a thumbnail (N, C, H, W) and a row of metadata each; their files go to `out`/projector,
        below `place`, whose projector_config.pbtxt names them beside those of other analyses."""
        from google.protobuf import text_format

        ProjectorConfig = import_module(
            "tensorboard.plugins.projector.projector_config_pb2"
        ).ProjectorConfig  # generated, without types
        side = min(_THUMBNAIL, min(images.shape[-2:]), int(_SPRITE / math.ceil(len(images) ** 0.5)))
        thumbnails = to_uint8(colours(images)).float() / 255
        if side < max(images.shape[-2:]):
            thumbnails = F.interpolate(thumbnails, (side, side), mode="bilinear", antialias=True).clamp(0, 1)
        with redirect_stdout(StringIO()):  # it prints what it does
            self.writer.add_embedding(points, rows, thumbnails, self.step, tag, header)
        made, files, known = Path(self.writer.log_dir), out / "projector", ProjectorConfig()
        shutil.rmtree(files, ignore_errors=True)
        shutil.copytree(made, files, ignore=shutil.ignore_patterns("events*", _PROJECTOR))
        (new,) = text_format.Parse((made / _PROJECTOR).read_text(), ProjectorConfig()).embeddings
        new.tensor_name = f"{tag} {out.name}"
        new.tensor_path, new.metadata_path, new.sprite.image_path = (
            str((files / path).relative_to(self.place))
            for path in (new.tensor_path, new.metadata_path, new.sprite.image_path)
        )
        with suppress(OSError, ValueError, text_format.ParseError):
            text_format.Parse(read_plain(self.place / _PROJECTOR).decode(), known)
        others = [
            o for o in known.embeddings if o.tensor_name != new.tensor_name and (self.place / o.tensor_path).is_file()
        ]
        write_whole(self.place / _PROJECTOR, text_format.MessageToString(ProjectorConfig(embeddings=[*others, new])))
