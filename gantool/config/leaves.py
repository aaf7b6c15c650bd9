"""Nested dictionaries as one level of full keys."""

from typing import Any


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    """Values by their full keys, in nested dictionaries that lie at `path`; an empty one is a value."""
    if not isinstance(node, dict) or not node:
        return {path: node}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= leaves(value, f"{path}.{key}" if path else str(key))
    return found
