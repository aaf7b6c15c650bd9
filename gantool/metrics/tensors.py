"""Keeps named tensors on disk: embeddings of real images and fitted classifiers, so that both are made once."""

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor

from gantool.files import write_whole

log = logging.getLogger(__name__)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes named tensors to `path`: whole or not at all. A cache that cannot be written is only worth a warning."""
    from safetensors.torch import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save(tensors, metadata={"sha256": _checksum(tensors, path)}))
    except OSError as error:
        log.warning("%s cannot be written (%s), so it is made again next time: make room", path.parent, error.strerror)


def load_tensors(path: Path) -> dict[str, Tensor] | None:
    """What was saved there; None where there is nothing or a bit of it is not as it was."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
            if (file.metadata() or {}).get("sha256") == _checksum(tensors, path):
                return tensors
    except (OSError, SafetensorError, ValueError):
        pass
    log.warning("%s is damaged, so it is made again", path)
    return None


def _checksum(tensors: dict[str, Tensor], path: Path) -> str:
    """Of names, types, shapes and values, and of the file's name, which says what they were made of."""
    sha = hashlib.sha256(path.name.encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
