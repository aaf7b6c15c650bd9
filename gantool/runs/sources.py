"""The data set that a configuration describes, and what it fills in there."""

import inspect
from dataclasses import replace

from omegaconf import DictConfig, OmegaConf, open_dict

from gantool.config import build
from gantool.config.parts import find, parameters
from gantool.config.schema import DatasetConfig
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.folder import Folder
from gantool.data.source import Source
from gantool.data.two_sided import TwoSided
from gantool.errors import GantoolError
from gantool.shapes import sides, size_text


def check_is_source(cfg: DictConfig) -> None:
    """Raises GantoolError for a class that is no data set of gantool's, such as one that torch's loaders take: before
    anything is said of keys and members that it lacks."""
    target = OmegaConf.select(cfg, "dataset._target_", throw_on_resolution_failure=False)
    try:
        kind = find(target, "dataset")
    except GantoolError:
        return  # read says so
    known = {*dir(kind)}  # one that hands on what it is asked for may have anything
    lacks = "__getattr__" not in known and not {"fingerprint", "read"} <= known
    if inspect.isclass(kind) and lacks and not issubclass(kind, TwoSided):
        raise GantoolError(
            f"dataset: {target} does not derive from {Source.__module__}.{Source.__qualname__}, as a data set of your "
            "own does: see tests/examples/my_data.py"
        )


def build_source(dataset: DatasetConfig, **changed: object) -> Source | TwoSided:
    """The data set that the configuration describes, but for what is `changed` and not None."""
    node = dataset.rest | {key: value for key, value in changed.items() if value is not None}
    fitting = Fitting(dataset.fit, dataset.crop, dataset.range, dataset.bits)
    if replace(fitting, bits=8) != PLAIN and "fitting" not in parameters(find(dataset.target, "dataset")):
        raise GantoolError(f"dataset.fit, crop, range and bits: {dataset.target} does not take them; leave them out")
    handed = {"resolution": dataset.resolution, "channels": dataset.channels, "fitting": fitting}
    return build(node, "dataset", handed, kind=Source | TwoSided)


def fill_in(cfg: DictConfig, source: Source | TwoSided) -> None:
    """Writes what the data set itself decides, its channels and number of classes, into the configuration."""
    classes = cfg.dataset.num_classes
    if classes is not None and classes != source.num_classes:
        names = f" ({', '.join(source.class_names[:10])})" if source.num_classes else ""
        raise GantoolError(
            f"dataset.num_classes={classes}, but {source.name} has {source.num_classes}{names}: leave it out, or bring "
            "back the classes that the run was trained with"
        )
    if cfg.dataset.vector_labels not in (None, source.vectors):
        raise GantoolError(f"dataset.vector_labels={cfg.dataset.vector_labels}: {source.name} has others; leave it out")
    if sides(source.resolution) != sides(cfg.dataset.resolution):
        asked, has = size_text(cfg.dataset.resolution), size_text(source.resolution)
        raise GantoolError(f"dataset.resolution={asked}: {source.name} has {has} pixels")
    if cfg.model.get("conditional") and not source.num_classes:
        what, fix = f"{source.name} has no labels", "choose another data set or labels"
        if isinstance(source, Folder):
            what = f"there are no labels in {source.root}"
            fix = "put the images into one sub-folder per class, or add labels.csv (file,class) or dataset.json"
        if (labels := cfg.dataset.get("labels", "auto")) != "auto":
            what, fix = f"dataset.labels={labels} finds none in {cfg.dataset.root}", "set it to auto"
        raise GantoolError(f"model.conditional=true, but {what}: {fix}")
    with open_dict(cfg):
        if cfg.dataset.channels is None and isinstance(source, Folder) and source.paged:
            cfg.dataset.stacks = False  # the channels that are filled in are not to turn pages into channels
        cfg.dataset.channels, cfg.dataset.num_classes = source.channels, source.num_classes
        cfg.dataset.vector_labels = source.vectors or None
        cfg.dataset.bits = 16 if source.bits == 16 else cfg.dataset.bits
