"""Features of FID and the Inception score: torch-fidelity's port of the network that Heusel 2017 used."""

import hashlib
import io
import pickle
import socket
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantool.errors import GantoolError
from gantool.metrics.features import Features
from gantool.paths import cache_dir

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SHA256_PREFIX = "6726825d"
TIMEOUT = 10  # seconds without an answer
FIXES = "give the file with metrics.inception_weights=FILE, or train without scores with metrics=none"


class InceptionFeatures(Features):
    """torch-fidelity's `inception-v3-compat`: pooled features (N, 2048) and unbiased logits (N, 1008).

    `weights`: torch-fidelity's weights file; None: the one in gantool's cache, downloaded once and checksummed.
    Images are resized to 299 x 299 as torch-fidelity does (TensorFlow 1 bilinear, no antialias).
    Raises GantoolError where the weights are missing, damaged, of another layout or cannot be downloaded.
    """

    name = "inception"
    score_names = ("fid", "inception_score")
    num_features = 2048
    resize = "TensorFlow 1 bilinear without antialias to 299"

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        path = Path(weights).expanduser() if weights else downloaded()
        self.weights_hash = sha256(path)[:8]
        self.network = build(path)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, 1 or 3, H, W) to float32 features (N, 2048) and logits (N, 1008)."""
        features, logits = self.network(images.expand(-1, 3, -1, -1))
        return features, logits


def build(path: Path) -> torch.nn.Module:
    """The network with the weights of `path`, of which nothing but tensors is unpickled."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # The constructor unpickles whatever its file holds, so it gets a copy that holds only the tensors read here.
        tensors: Any = io.BytesIO()
        torch.save(dict(state), tensors)
        tensors.seek(0)
        return FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, AttributeError, TypeError) as error:
        raise GantoolError(
            f"{path} does not hold the Inception weights of torch-fidelity ({first_line(error)}): {FIXES}"
        ) from error


def downloaded() -> Path:
    """The weights file in the cache, fetched if it is not there or not whole."""
    path = cache_dir() / "weights" / URL.rsplit("/", 1)[1]
    if path.exists() and sha256(path).startswith(SHA256_PREFIX):
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256_PREFIX)
    except (OSError, RuntimeError) as error:
        raise GantoolError(
            f"cannot download the Inception weights from {URL} ({first_line(error)}): {FIXES}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return path


def sha256(path: Path) -> str:
    """Of the file, in hex; GantoolError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GantoolError(f"cannot read the Inception weights {path} ({error.strerror}): {FIXES}") from error


def first_line(error: Exception) -> str:
    """What went wrong, in at most one short line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
