"""Where a snapshot is: a file, a folder, or a model on the Hugging Face Hub."""

import re
from pathlib import Path

from gantool.errors import GantoolError, require, said
from gantool.paths import expanded

NAME = "snapshot.safetensors"

_ON_HUB = re.compile(r"(?:hf://)?([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


def is_on_hub(source: str | Path) -> bool:
    """Whether `source` names a model on the Hub, 'user/model', 'user/model@revision' or hf://..., and nothing here."""
    return not expanded(source).exists() and bool(_ON_HUB.fullmatch(str(source))) and not _is_file_name(str(source))


def _is_file_name(source: str) -> bool:
    return source.endswith((".safetensors", ".pt")) or source.startswith((".", "~"))


def find_snapshot(source: str | Path) -> Path:
    """The file of a snapshot: itself, in the folder that it lies in, or fetched from the Hub, of which nothing but that
    safetensors file is taken.

    Raises GantoolError where huggingface_hub is missing, or the Hub has no such model or file.
    """
    if not is_on_hub(source):
        path = expanded(source)
        if (path / ".hydra").is_dir() and not (path / NAME).is_file():
            fix = f"gantool.load_run opens it, and gantool export run={path} makes a snapshot of it"
            raise GantoolError(f"{path} is a run, not a snapshot: {fix}")
        return path / NAME if path.is_dir() else path
    require("hub", "huggingface_hub", what=f"{source}, which is no file or folder here but may be on the Hub,")
    from huggingface_hub import hf_hub_download

    found = _ON_HUB.fullmatch(str(source))
    assert found is not None
    try:
        return Path(hf_hub_download(found[1], NAME, revision=found[2]))
    except Exception as error:  # of the network, the Hub, and names that it does not allow
        raise GantoolError(
            f"{source}: no such file here, and it cannot be downloaded from the Hub ({said(error)})"
        ) from error
