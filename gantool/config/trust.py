"""What a folder or a file of somebody else may ask for: parts of gantool and torch's optimizers, and nothing else.

Whatever opens one passes through here before anything in it is resolved, imported or built; nothing is imported to
decide. `trust=true` leaves the question out.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gantool.config.signatures import arguments
from gantool.errors import GantoolError
from gantool.paths import conf_dir

# Modules whose classes, as far as conf names them, are parts. Building one reads at most images and weights that its
# arguments name.
OF_GENERATORS = (
    "growth",
    "latents",
    *(f"networks.{name}" for name in ("biggan", "dcgan", "infogan", "mlp", "progan", "r3gan", "resnet", "translators")),
)
PARTS = (
    *OF_GENERATORS,
    "augment",
    "auxiliaries",
    "consistency",
    *(f"data.{name}" for name in ("celeba", "cifar10", "folder", "mnist", "torchvision_sets", "two_sided")),
    *(f"games.{name}" for name in ("cyclegan", "gan", "pix2pix")),
    *(f"logging.{name}" for name in ("csv_file", "mlflow", "tensorboard", "trackio", "wandb")),
    "losses",
    *(
        f"metrics.{name}"
        for name in ("classifier", "clip", "digits", "dinov2", "efficientnet", "inception", "scores", "vgg")
    ),
    *(f"monitors.{name}" for name in ("codes", "histograms", "samples", "scores")),
    "networks.patchgan",
    "regularizers",
    "schedules",
)
_OPTIMIZERS = "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS NAdam RAdam RMSprop Rprop SGD SparseAdam"
OPTIMIZERS = frozenset(f"torch.optim.{name}" for name in _OPTIMIZERS.split())

# What ${...} may be: another key of the file, or one of the calls that gantool's own conf makes in a run.
_KEY = r"\$\{[\w.\[\]-]+\}"
_HARMLESS = re.compile(rf"{_KEY}|\$\{{(?:norm:[\w,]+|times:{_KEY},{_KEY}|oc\.env:GANTOOL_DATA,[^${{}}:]*)\}}")

_OF_WANDB = "wandb/*/logs/debug-core.log"  # in a run's folder
# What training writes into a run's folder and a sweep's, whatever is chosen, by names that are known before.
_WRITTEN = (".*lock", ".claim", ".hydra", ".study.id", "checkpoints", "metrics.jsonl", "multirun.yaml", "samples")
_WRITTEN += ("scalars.csv", "status.json", "study.journal*", "sweep.json", "trackers.json")


def check(content: Any, place: object, parts: Sequence[str] = PARTS) -> None:
    """Raises GantoolError for the first thing in plain, unresolved containers that a stranger may not ask for; `place`
    is the file or folder they come from."""
    for asked, does in foreign(content, parts):
        raise GantoolError(
            f"{place} asks for {repr(asked)[:100]}, which is not gantool's own: trust=true (Python: True) {does}; use "
            "it only if you trust the author"
        )


def foreign(content: Any, parts: Sequence[str] = PARTS) -> Iterator[tuple[object, str]]:
    """Every target that is no part and every value that calls something: what it is, and what trusting it does."""
    for key, value in _leaves(content):
        if key == "_target_" and not is_part(value, parts):
            yield value, "builds it and so runs its author's code on this machine"
        elif isinstance(value, str) and not is_harmless(value):
            yield value, "lets it look into this machine"


def looks_around(content: Any) -> bool:
    """True where any value calls something."""
    return any(isinstance(value, str) and not is_harmless(value) for _, value in _leaves(content))


def _leaves(content: Any, key: object = None) -> Iterator[tuple[object, Any]]:
    """(key, value) of all that is no container, and of every _target_ whatever it is."""
    if isinstance(content, dict) and key != "_target_":
        for name, child in content.items():
            yield from _leaves(child, name)
    elif isinstance(content, list) and key != "_target_":
        for child in content:
            yield from _leaves(child)
    else:
        yield key, content


def is_harmless(text: str) -> bool:
    """True where every ${...} in a value only repeats another value of its file."""
    return "${" not in _HARMLESS.sub("", text)


def is_part(target: object, parts: Sequence[str] = PARTS) -> bool:
    """True for a part of gantool by the name that conf has for it, and for a torch optimizer where parts are all."""
    if not isinstance(target, str):
        return False
    own = target in _in_conf() and target.removeprefix("gantool.").rpartition(".")[0] in parts
    return own or (parts is PARTS and target in OPTIMIZERS)


@cache
def _in_conf() -> frozenset[str]:
    """Every target that gantool's own conf names."""
    texts = [path.read_text(encoding="utf-8") for path in conf_dir().rglob("*.yaml")]
    return frozenset(name for text in texts for name in re.findall(r"_target_: (gantool[\w.]+)", text))


def check_links(
    folder: Path, otherwise: str = "trust=true reads and writes what it leads to", *, begun: bool = True
) -> None:
    """Raises GantoolError where something in a run's folder is neither a file nor a folder of it: what is written to a
    link goes where its author wants. `otherwise`: what can be done but to remove it.

    Where no run and no sweep has `begun`, links are the user's own, such as to a big disk: those alone are refused that
    have the name of what training writes and lead to a file, which would be emptied or added to.

    wandb's link to its own log, which nothing here opens, may lead anywhere: one that was killed leaves it behind.
    """
    for path in _inside(folder) if begun else _written_in(folder):
        if path.is_symlink() and path.match(_OF_WANDB):
            continue
        target = Path(os.path.realpath(path))  # Path.resolve fails where links go round
        leads_out = not (target.is_relative_to(os.path.realpath(folder)) if begun else target.is_dir())
        is_plain = path.is_file() or path.is_dir() or not os.path.lexists(path)  # it may go meanwhile
        if (path.is_symlink() and leads_out) or not is_plain:
            what = f"leads to {target}" if path.is_symlink() else "is not a plain file"
            raise GantoolError(f"{path} {what}: remove it, or {otherwise}")


def _inside(folder: Path) -> Iterator[Path]:
    """All that is in a folder, and in its own folders."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def _written_in(folder: Path) -> Iterator[Path]:
    """What is there already of the names that training writes in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if any(path.match(name) for name in _WRITTEN):
            yield path
            yield from _inside(path)


def fetching_nowhere_else(content: Any) -> Any:
    """Checked plain containers, where a data set outside the user's own folder of data is read, but not downloaded to
    where it says."""
    if isinstance(content, list):
        return [fetching_nowhere_else(child) for child in content]
    if not isinstance(content, dict):
        return content
    found = {key: fetching_nowhere_else(child) for key, child in content.items()}
    if "_target_" in found and "download" in arguments(found["_target_"]) and not _is_data_folder(found.get("root")):
        found["download"] = False
    return found


def _is_data_folder(root: object) -> bool:
    """True for where data sets are fetched to unless the user says otherwise (conf/dataset)."""
    if not isinstance(root, str) or "${" in root:
        return root == "${oc.env:GANTOOL_DATA,data}"
    own = os.environ.get("GANTOOL_DATA", "data")
    return os.path.abspath(os.path.expanduser(root)) == os.path.abspath(os.path.expanduser(own))
