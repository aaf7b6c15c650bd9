"""Imports point down only, and the command line stays light."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import gantool
from gantool.cli.main import COMMANDS

ROOT = Path(gantool.__file__).parent
LAYERS = {
    0: {
        "errors",
        "files",
        "folder",
        "launch",
        "lock",
        "paths",
        "schedules",
        "batch",
        "game",
        "randomness",
        "margins",
        "ranks",
        "shapes",
        "images",
        "hosted",
        "steady",
        "beside",
        "collector",
        "screen",
    },
    1: {
        "losses",
        "regularizers",
        "auxiliaries",
        "consistency",
        "latents",
        "augment",
        "growth",
        "networks",
        "data",
        "config",
    },
    2: {"games", "metrics", "logging", "sampling"},
    3: {"training", "monitors", "analysis"},
    4: {"sweeps"},
    5: {"runs", "page"},
    6: {"bench", "commands"},
    7: {"cli", "api", "__main__", "__init__"},
}
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}
MODULES = sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    """The part of gantool that a module belongs to: networks, for gantool/networks/mlp.py."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def upward(path: Path) -> list[str]:
    """The imports of `path` that no module of its layer may have."""
    own = part(path)
    wrong = []
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package in ("hydra", "omegaconf", "pydantic") and LAYER[own] < 4 and own != "config":
            wrong.append(name)
        if package == "gantool" and (other := rest.partition(".")[0]) in LAYER:
            sideways = LAYER[own] == LAYER[other] == 1 and own != other
            if LAYER[other] > LAYER[own] or sideways:
                wrong.append(name)
    return sorted(wrong)


def test_every_module_has_a_layer() -> None:
    assert {part(path) for path in MODULES} <= set(LAYER)


def test_imports_point_down() -> None:
    assert {str(path): wrong for path in MODULES if (wrong := upward(path))} == {}


def test_commands_do_not_import_each_other() -> None:
    for path in (ROOT / "commands").glob("*.py"):
        others = {f"gantool.commands.{name}" for name in COMMANDS if name != path.stem}
        assert not imports(path) & others, path


def test_no_two_folders_import_each_other() -> None:
    """Nor go round in a longer circle: CycleError would name it."""
    needs: dict[str, set[str]] = {}
    for path in MODULES:
        names = {name.split(".")[1] for name in imports(path) if name.startswith("gantool.")}
        needs.setdefault(part(path), set()).update((names & set(LAYER)) - {part(path), "__init__"})
    assert len(list(TopologicalSorter(needs).static_order())) >= len(needs)
    with pytest.raises(CycleError):
        TopologicalSorter({**needs, "game": {"training"}}).prepare()


def test_no_two_classes_share_a_name() -> None:
    """But for what every network and every command has."""
    names = [
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name not in ("Generator", "Discriminator", "Options")
    ]
    assert sorted(names) == sorted(set(names))


def test_files_are_short() -> None:
    """250 lines of package and of tests."""
    files = [*MODULES, *Path(__file__).parent.rglob("*.py")]
    assert [path.name for path in files if path.read_text(encoding="utf-8").count("\n") > 250] == []


def test_an_upward_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "losses.py"
    path.write_text(
        "import omegaconf\n\ndef f():\n    from gantool.training import loop\n    import gantool.networks\n"
    )
    assert upward(path) == ["gantool.networks", "gantool.training", "gantool.training.loop", "omegaconf"]


LIGHT = [
    (["--help"], {}),
    (["list"], {}),
    *(([command, "--help"], {}) for command in COMMANDS),
    (["sample", "num=0"], {}),
    (["train", "--cfg", "job"], {}),
    (["train", "trainer.bach_size=1"], {}),
    (["-sc", "query=bash"], {"COMP_LINE": "gantool train mo"}),
    (["-sc", "query=bash"], {"COMP_LINE": "gantool sample fo"}),
]


def test_no_torch_before_a_command_runs(in_tmp: Path) -> None:
    script = f"""
import os, sys
from gantool.cli import main
for words, environment in {LIGHT}:
    os.environ.update(environment)
    main(words)
    print("after", words, sorted({{'torch', 'numpy', 'pandas'}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    after = [line for line in done.stderr.splitlines() if line.startswith("after")]
    assert len(after) == len(LIGHT) and all(line.endswith(" []") for line in after), after
    assert not list(in_tmp.iterdir())
