"""Of everything that Python can import, only gantool's parts and torch's optimizers pass, and building them writes
nothing; and what else a stranger's folder may hold."""

import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
import torch

from extent import thorough
from gantool.config.trust import OF_GENERATORS, is_part
from gantool.paths import conf_dir

PACKAGES = """
gantool numpy torch torchvision hydra omegaconf yaml pydantic joblib safetensors PIL tensorboard builtins
os subprocess shutil pathlib pickle importlib runpy code io ctypes socket urllib tempfile functools operator inspect
types logging multiprocessing
"""
pytestmark = [pytest.mark.filterwarnings("ignore"), thorough]
# Not imported: scripts, tests, and what wants another machine or takes long.
LEFT_OUT = re.compile(
    r"test|__main__|conftest|\.(_inductor|_dynamo|distributed|onnx|f2py|distutils|ao|plugins|plugin)\b|bottleneck"
)


def modules() -> Iterator[ModuleType]:
    """Those of the packages that can be imported here."""
    for package in PACKAGES.split():
        yield (top := importlib.import_module(package))
        for found in pkgutil.walk_packages(getattr(top, "__path__", []), f"{package}.", onerror=lambda name: None):
            if not LEFT_OUT.search(found.name):
                with suppress(Exception):  # extras that are not installed
                    yield importlib.import_module(found.name)


def walk() -> tuple[int, list[str]]:
    """How many callables there are, and the names of those that pass."""
    tried, found = 0, []
    for module in modules():
        for name, value in list(vars(module).items()):
            if callable(value):
                tried += 1
                if is_part(target := f"{module.__name__}.{name}"):
                    found.append(target)
    return tried, found


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Everything that passes, by the name it passes under; found in another process, as some modules, once imported,
    change what is outside them."""
    out = tmp_path_factory.mktemp("walk") / "found.json"
    subprocess.run([sys.executable, "-W", "ignore", __file__, str(out)], check=True, capture_output=True)
    tried, found = json.loads(out.read_text())
    assert tried > 20_000
    return {name: pkgutil.resolve_name(name) for name in found}


def test_only_parts_pass(passing: dict[str, object]) -> None:
    text = "\n".join(path.read_text() for path in conf_dir().rglob("*.yaml") if path.name != "gantool.yaml")
    own = {name for name in passing if name.startswith("gantool.")}
    assert own == set(re.findall(r"_target_: (gantool\.[\w.]+)", text)) and len(own) > 60
    for name in set(passing) - own:
        value = passing[name]
        assert inspect.isclass(value) and issubclass(value, torch.optim.Optimizer), name
    assert {"torch.optim.Adam", "torch.optim.NAdam"} <= set(passing) - own
    modules = {name.split(".")[1] for name in own if is_part(name, OF_GENERATORS)}
    assert modules == {"networks", "latents", "growth"}, "what a snapshot may name"


def test_building_a_part_writes_nothing(
    passing: dict[str, object], in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever path its arguments name; a tracker's folder is the run's, and refused where a file names another."""
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp / "cache"))
    opened, given = set(), ("args", "kwargs", "run_dir")
    for part in passing.values():
        assert inspect.isclass(part)
        keys = inspect.signature(part).parameters
        opened |= {key for key in keys if key in ("root", "weights", "download")}
        with suppress(Exception):  # most want something else than a path
            part(**{key: True if key == "download" else "marker" for key in keys if key not in given})
    assert opened == {"root", "weights", "download"} and not os.listdir(in_tmp)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(walk()))
