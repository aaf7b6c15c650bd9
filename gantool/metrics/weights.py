"""Published weights files: fetched once, told by their checksum, and read as tensors and nothing else."""

import hashlib
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gantool.data.download import answers, downloading
from gantool.errors import GantoolError
from gantool.files import open_plain
from gantool.paths import cache_dir, expanded

# What torch and safetensors raise for files of another kind, and networks for tensors of another layout.
WRONG = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError)


@dataclass(frozen=True)
class Published:
    """A file on the web, and the words for what goes wrong with it or with the user's own copy."""

    what: str  # it holds
    url: str
    fixes: str  # what the user can do without it
    sha256: str = ""  # the first hex digits; "": none were published

    @property
    def place(self) -> Path:
        """Where the file is kept once it has been fetched."""
        return cache_dir() / "weights" / self.url.rsplit("/", 1)[1]

    def is_here(self) -> bool:
        """True where it was fetched, whole."""
        return self.place.exists() and self.hash(self.place).startswith(self.sha256)

    def file(self, given: str | Path | None) -> Path:
        """The file that the user has `given`, else the published one, fetched if it is not there or not whole."""
        if given:
            return expanded(given)
        if not self.is_here():
            name = self.what.removeprefix("the ")
            with downloading(name, self.place.parent, f"fetch {self.url} by hand and {self.fixes}"):
                torch.hub.download_url_to_file(self.url, str(self.place), hash_prefix=self.sha256 or None)
        return self.place

    def why_not(self) -> str | None:
        """Why it cannot be had, in words, told within seconds where nobody answers; None where it is here now."""
        if self.is_here():
            return None
        if not answers(self.url):
            return f"{self.what} are not in the cache and {self.url.split('/')[2]} does not answer"
        try:
            self.file(None)
        except GantoolError as error:
            return str(error)
        return None

    def hash(self, path: Path) -> str:
        """The sha256 in hex; GantoolError if `path` cannot be read."""
        try:
            with open_plain(path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise GantoolError(f"cannot read {self.what} {path} ({error.strerror}): {self.fixes}") from error

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """What goes wrong inside with a file of another kind or layout becomes one GantoolError."""
        try:
            yield
        except WRONG as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            raise GantoolError(f"{path} does not hold {self.what} ({reason}): {self.fixes}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """By name, from torch's or safetensors' format; raises what `Published.reading` turns into a GantoolError."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it is about to refuse
        return dict(torch.load(path, map_location="cpu", weights_only=True))
