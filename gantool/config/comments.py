"""The comments that stand behind the keys of a YAML file: what --help says of them."""

import re
from collections.abc import Iterator

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

_COMMENT = re.compile(r"\s*#\s*(.+?)\s*$")


def comments(text: str, package: str = "") -> dict[str, str]:
    """{full.key: comment} of every `key: value  # comment` and `key:  # comment`; `package` is where the file's keys
    live in the configuration."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found = _of_mapping(root, text.splitlines()) if isinstance(root, MappingNode) else ()
    return {f"{package}.{name}" if package else name: comment for name, comment in found}


def _of_mapping(node: MappingNode, lines: list[str]) -> Iterator[tuple[str, str]]:
    for name, value in node.value:
        if not isinstance(name, ScalarNode) or name.value == "defaults":
            continue
        if comment := _COMMENT.fullmatch(_rest_of_line(name, value, lines)):
            yield name.value, comment[1]
        if isinstance(value, MappingNode):
            yield from ((f"{name.value}.{inner}", comment) for inner, comment in _of_mapping(value, lines))


def _rest_of_line(name: ScalarNode, value: Node, lines: list[str]) -> str:
    """What stands behind the value, or behind the colon where the value is a block of its own lines."""
    in_block = isinstance(value, CollectionNode) and not value.flow_style
    mark = name.end_mark if in_block else value.end_mark
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    return rest.lstrip().removeprefix(":") if in_block else rest
