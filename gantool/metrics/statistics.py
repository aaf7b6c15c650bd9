"""Keeps the statistics of real images on disk, so that a data set is measured once."""

import os
from pathlib import Path

from torch import Tensor


def save_statistics(statistics: dict[str, Tensor], path: Path) -> None:
    """Writes named tensors to `path`: whole or not at all."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(save(statistics))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_statistics(path: Path) -> dict[str, Tensor] | None:
    """What was saved there; None where there is nothing or it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError):
        return None
