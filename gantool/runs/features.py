"""The feature space that a configuration names."""

from collections.abc import Mapping
from typing import Any

from gantool.config import build
from gantool.config.parts import mistakes
from gantool.errors import GantoolError
from gantool.metrics.features import Features
from gantool.metrics.score import Score


def build_scores(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Score]:
    """The scores that the group score= describes, by kind; raises GantoolError for one that is none."""
    if wrong := [line for kind, node in nodes.items() for _, line in mistakes(f"score.{kind}", node)]:
        raise GantoolError("\n".join(wrong))
    return {kind: build(node, f"score.{kind}", kind=Score) for kind, node in nodes.items()}


def build_features(node: Mapping[str, Any], handed: Mapping[str, object]) -> Features:
    """The feature extractor that `node` describes; its arguments that are null and stand in `handed` are taken there.

    Raises GantoolError where it names nothing, nothing that is a feature extractor, or one that cannot be had.
    """
    if "_target_" not in node:
        said = f"features has {', '.join(node)} but no _target_: " if node else ""
        raise GantoolError(f"{said}choose features=digits, inception or classifier, or name a class by _target_")
    if wrong := [line for _, line in mistakes("features", node)]:
        raise GantoolError("\n".join(wrong))
    features = build(node, "features", handed, Features)
    if missing := [name for name in Features.__annotations__ if getattr(features, name, None) is None]:
        raise GantoolError(f"features._target_={node['_target_']} lacks {', '.join(missing)}")
    return features
