"""Keeps named tensors on disk: embeddings of real images and fitted classifiers, so that both are made once."""

import logging
from pathlib import Path

from torch import Tensor

from gantool.files import write_whole

log = logging.getLogger(__name__)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes named tensors to `path`: whole or not at all. A cache that cannot be written is only worth a warning."""
    from safetensors.torch import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save(tensors))
    except OSError as error:
        log.warning("%s cannot be kept (%s), so it is made again next time: make room", path.parent, error.strerror)


def load_tensors(path: Path) -> dict[str, Tensor] | None:
    """What was saved there; None where there is nothing or it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None
