"""The feature space that a configuration names."""

from typing import Any

from gantool.commands.build import make
from gantool.config.targets import check_targets
from gantool.errors import GantoolError
from gantool.metrics.features import Features


def make_features(node: dict[str, Any] | None, defaults: dict[str, Any]) -> Features:
    """What `node` describes; its arguments that are null and stand in `defaults` are taken from there.

    Raises GantoolError where it names nothing, nothing that is a feature extractor, or one that cannot be had.
    """
    if not node:
        raise GantoolError("the run's data set names no features: choose features=digits, inception or classifier")
    if "_target_" not in node:
        raise GantoolError(f"features has {', '.join(node)} but no _target_: choose features=..., or name a class")
    node = {key: defaults.get(key) if value is None else value for key, value in node.items()}
    check_targets({"features": node})
    features = make(node)
    missing = [name for name in Features.__annotations__ if not hasattr(features, name)]
    if not isinstance(features, Features) or missing:
        what = f"lacks {', '.join(missing)}" if isinstance(features, Features) else "is none"
        raise GantoolError(f"features._target_={node['_target_']} {what}: take a gantool.metrics.features.Features")
    return features
