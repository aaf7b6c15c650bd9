"""The feature space that a configuration names."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from gantool.config import build
from gantool.config.parts import find, mistakes
from gantool.config.shipped import shipped
from gantool.errors import GantoolError
from gantool.metrics.features import Features
from gantool.metrics.score import Score

USUAL = ("fd", "kd", "is", "precision", "recall", "density", "coverage")
log = logging.getLogger(__name__)


def choose(node: Mapping[str, Any], before: object = None) -> Mapping[str, Any]:
    """A node of one feature extractor: `node` itself, or where it names two (features=auto) the one of the class
    `before`, else the first if it can be had here. What was chosen is told in a line."""
    if node.keys() != {"first", "otherwise"}:
        return node
    first, otherwise = node["first"], node["otherwise"]
    for one in (first, otherwise):
        if one["_target_"] == before:
            return one
    wanted, instead = _kind(first["_target_"], "features.first"), _kind(otherwise["_target_"], "features.otherwise")
    why = wanted.why_not(**{key: value for key, value in first.items() if key != "_target_"})
    if why is None:
        log.info("features=auto: scores use %s", wanted.name)
        return first
    text = "features=auto: scores use %s, as %s; if you have the file: features=%s features.weights=FILE"
    log.info(text, instead.name, why, wanted.name)
    return otherwise


def _kind(target: str, path: str) -> type[Features]:
    found = find(target, path)
    if not (inspect.isclass(found) and issubclass(found, Features)):
        raise GantoolError(f"{path}._target_={target} does not derive from gantool.metrics.features.Features")
    return found


def as_trained(own: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The nodes of the scores of a run, as its training had them, and of those that are usually looked at too."""
    return {**{kind: shipped("score", kind)[kind] for kind in USUAL}, **own}


def asked_of(typed: Mapping[str, Mapping[str, Any]], usual: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The nodes of the scores that are `typed`, or the `usual` ones where only settings of these are."""
    if any("_target_" in node for node in typed.values()):
        usual = {}
    found = {**usual, **{kind: {**usual.get(kind, {}), **node} for kind, node in typed.items()}}
    for kind, node in found.items():
        if "_target_" not in node:
            raise GantoolError(f"score.{kind}.{next(iter(node), '')}: {kind} is not measured; add it to score=[...]")
    return found


def build_scores(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Score]:
    """The scores that the group score= describes, by kind; raises GantoolError for one that is none."""
    if wrong := [line for kind, node in nodes.items() for _, line in mistakes(f"score.{kind}", node)]:
        raise GantoolError("\n".join(wrong))
    return {kind: build(node, f"score.{kind}", kind=Score) for kind, node in nodes.items()}


def build_features(node: Mapping[str, Any], handed: Mapping[str, object], *, prepared: bool = True) -> Features:
    """The feature extractor that `node` describes; its arguments that are null and stand in `handed` are taken there.
    `prepared`: it is to be used at once.

    Raises GantoolError where it names nothing, nothing that is a feature extractor, or one that cannot be had.
    """
    node = choose(node)
    if "_target_" not in node:
        said = f"features has {', '.join(node)} but no _target_: " if node else ""
        raise GantoolError(
            f"{said}choose features=efficientnet, inception, digits or classifier, or name a class by _target_"
        )
    if wrong := [line for _, line in mistakes("features", node)]:
        raise GantoolError("\n".join(wrong))
    features = build(node, "features", handed, Features)
    needed = [name for name in Features.__annotations__ if name not in vars(Features)]
    if missing := [name for name in needed if getattr(features, name, None) is None]:
        raise GantoolError(f"features._target_={node['_target_']} lacks {', '.join(missing)}")
    if prepared:
        features.prepare()
    return features
