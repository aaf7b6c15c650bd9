"""What a class of gantool takes, read from its source: --help shows it without importing torch."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def arguments(target: str) -> dict[str, str]:
    """The arguments of a class's __init__ that have a default, and these as they are written in Python; {} where the
    class is not gantool's own, or has no __init__ of its own."""
    package, *folders, name = target.split(".")
    path = PACKAGE.joinpath(*folders).with_suffix(".py") if folders else PACKAGE
    if package != "gantool" or not path.is_file():
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                    return _defaults(function.args)
    return {}


def _defaults(given: ast.arguments) -> dict[str, str]:
    positional = given.args[len(given.args) - len(given.defaults) :]
    pairs = [*zip(positional, given.defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return {argument.arg: ast.unparse(default) for argument, default in pairs if default is not None}
