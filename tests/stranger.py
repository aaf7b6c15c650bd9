"""A stranger's run for the tests: what may stand in its files to do harm, and how that is told."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import gantool
from gantool.cli import main
from gantool.cli.arguments import resume
from gantool.errors import GantoolError

EVIL = "from pathlib import Path\nPath(r'{marker}').touch()\ndef made(**words): Path(r'{marker}').touch()\n"


class Trap:
    """Makes the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (self.marker,)


def set_traps(folder: Path) -> Path:
    """Files that make folder/marker when they are loaded; the marker's path."""
    (folder / "trap.pkl").write_bytes(pickle.dumps(Trap(folder / "marker")))
    for name in ("evil.py", "hubconf.py"):
        (folder / name).write_text(EVIL.format(marker=folder / "marker"))
    return folder / "marker"


def edit(run: Path, change: Callable[[dict], object]) -> None:
    """Somebody's change of the configuration."""
    path = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def refused(run: Path, says: str) -> None:
    """Neither Python nor a resume opens the run; each error is one line that says so and what trust=true means."""
    for opened in (lambda: gantool.load_run(run, device="cpu"), lambda: resume([], [f"resume={run}"])):
        with pytest.raises(GantoolError) as error:
            opened()
        line = str(error.value)
        assert says in line and "\n" not in line and len(line) < 600, line


def told(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that is refused."""
    capfd.readouterr()
    assert main(words) == 1
    line = capfd.readouterr().err
    assert line.count("\n") == 1, line
    return line


TARGETS: dict[str, dict[str, Any]] = {
    "torch.load": {"f": "trap.pkl", "weights_only": False},
    "numpy.load": {"file": "trap.pkl", "allow_pickle": True},
    "joblib.load": {"filename": "trap.pkl"},
    "torch.hub.load": {"repo_or_dir": ".", "model": "made", "source": "local", "trust_repo": True},
    "numpy.save": {"file": "marker", "arr": [1]},
    "torch.hub.download_url_to_file": {"url": "file:///etc/hostname", "dst": "marker"},
    "evil.made": {},
    "os.system": {"command": "touch marker"},
    "subprocess.run": {"args": ["touch", "marker"]},
    "builtins.exec": {"source": "open('marker', 'w')"},
    "builtins.open": {"file": "marker", "mode": "w"},
    "pathlib.Path.touch": {"self": "marker"},
    "logging.FileHandler": {"filename": "marker"},
    "hydra.utils.instantiate": {"config": {"_target_": "evil.made"}},
    "omegaconf.OmegaConf.save": {"config": {}, "f": "marker"},
    "gantool.files.write_whole": {"path": "marker", "content": ""},
    "gantool.networks.dcgan.torch.load": {"f": "trap.pkl", "weights_only": False},
    "gantool.config.parts.find": {"name": "evil.made", "path": ""},
    "gantool.runs.trained.load_run": {"folder": "other", "trust": True},
    "gantool.cli.folders.Folders": {},
    "torch.optim.lr_scheduler.LambdaLR": {},
    "torch.optim.adam.torch.load": {"f": "trap.pkl", "weights_only": False},
}
