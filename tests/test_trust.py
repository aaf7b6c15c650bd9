"""A stranger's folder or file is data: whatever it asks for beside gantool's own parts is refused before it happens."""

import json
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import gantool
from gantool.cli import main
from gantool.cli.arguments import resume
from gantool.errors import GantoolError
from gantool.page.reading import RunFolder
from runs import train

ON_A_RUN = ["sample", "interpolate", "truncation", "evaluate", "embed", "explain", "export", "report"]
EVIL = "from pathlib import Path\nPath(r'{marker}').touch()\ndef made(**words): Path(r'{marker}').touch()\n"


class Trap:
    """Makes the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a snapshot."""
    root = tmp_path_factory.mktemp("trained")
    train(root / "run", "trainer.seed=7", model="mlp", rounds=1)
    assert main(["export", f"run={root / 'run'}", "format=snapshot"]) == 0
    return root / "run"


@pytest.fixture
def run(trained: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, beside files that make `marker` when they are loaded."""
    shutil.copytree(trained, in_tmp / "run")
    marker = in_tmp / "marker"
    (in_tmp / "trap.pkl").write_bytes(pickle.dumps(Trap(marker)))
    for name in ("evil.py", "hubconf.py"):
        (in_tmp / name).write_text(EVIL.format(marker=marker))
    monkeypatch.syspath_prepend(in_tmp)
    yield in_tmp / "run"
    assert not marker.exists()


def edit(run: Path, change: Callable[[dict], object]) -> None:
    """Somebody's change of the configuration."""
    path = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


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
PLACES: dict[str, Callable[[dict, Any], object]] = {
    "loss": lambda config, node: config.update(loss=node),
    "a list": lambda config, node: config["model"]["generator"].update(hidden=[16, [node]]),
    "an argument": lambda config, node: config["model"]["latent"].update(dim=node),
    "a part by name": lambda config, node: config.update(regularizer={"mine": node}),
    "a schedule": lambda config, node: config["trainer"].update(ema_half_life=node),
    "what another key repeats": lambda config, node: (config["recipe"].update(x=node), config.update(loss="${recipe.x}")),
    "an optimizer": lambda config, node: config["optimizer"].update(schedule=node),
    "a data set": lambda config, node: config.update(dataset={**config["dataset"], **node}),
    "features": lambda config, node: config.update(features=node),
    "a score": lambda config, node: config.update(score={"fd": node}),
    "a monitor": lambda config, node: config.update(monitor={"fd": {"every": "1it", **node}}),
}


def refused(run: Path, says: str) -> None:
    """Neither Python nor a resume opens the run; each error is one line that says so and what trust=true means."""
    for opened in (lambda: gantool.load_run(run, device="cpu"), lambda: resume([], [f"resume={run}"])):
        with pytest.raises(GantoolError) as error:
            opened()
        line = str(error.value)
        assert says in line and "\n" not in line and len(line) < 600, line


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_is_no_part_is_refused(target: str, run: Path) -> None:
    edit(run, lambda config: PLACES["loss"](config, {"_target_": target, **TARGETS[target]}))
    refused(run, f"asks for '{target}', which is not gantool's own: trust=true")


@pytest.mark.parametrize("place", PLACES)
def test_wherever_it_stands(place: str, run: Path) -> None:
    edit(run, lambda config: PLACES[place](config, {"_target_": "evil.made"}))
    refused(run, "asks for 'evil.made', which is not gantool's own: trust=true (Python: True) builds it and so runs")


@pytest.mark.parametrize("target", ["${recipe.t}", ["evil.made"], {"a": 1}, 3, None, "", "gantool.losses", "Hinge", "a\nb"])
def test_a_target_is_the_plain_name_of_a_part(target: object, run: Path) -> None:
    edit(run, lambda config: (config["recipe"].update(t="evil.made"), config["loss"].update(_target_=target)))
    refused(run, "which is not gantool's own")


@pytest.mark.parametrize("target", list(TARGETS)[:7])
def test_the_same_is_built_where_it_is_trusted(target: str, run: Path) -> None:
    """Control: the attempts above would work."""
    edit(run, lambda config: PLACES["a list"](config, {"_target_": target, **TARGETS[target]}))
    with pytest.raises((GantoolError, TypeError)):  # what it gives is no width of a layer
        gantool.load_run(run, device="cpu", trust=True)
    marker = run.parent / "marker"
    if target == "numpy.save":
        marker = marker.with_suffix(".npy")
    assert marker.exists()
    marker.unlink()


@pytest.mark.parametrize("call", ["oc.env:HOME", "oc.env:GANTOOL_DATA,${oc.env:HOME}", "oc.decode:'[1]'", "hydra:runtime.cwd",
    "oc.create:{_target_:evil.made}", "${recipe.lr}:x", "oc.select:recipe", "file_name:x", " oc.env : HOME", "now:%Y"])  # fmt: skip
def test_a_value_that_calls_something_is_refused(call: str, run: Path) -> None:
    edit(run, lambda config: config["recipe"].update(x=f"a${{{call}}}"))
    refused(run, "trust=true (Python: True) lets it look into this machine")


HYDRAS: dict[str, Any] = {
    "callbacks": {"mine": {"_target_": "evil.made"}},
    "launcher": {"_target_": "evil.made"},
    "sweeper": {"_target_": "evil.made"},
    "searchpath": ["file:///tmp"],
    "job": {"env_set": {"PATH": "/tmp"}, "chdir": True},
    "job_logging": {"version": 1, "handlers": {"h": {"class": "logging.FileHandler", "filename": "marker"}}},
    "run": {"dir": "marker"},
    "output_subdir": "marker",
}
HEADS = [*({"hydra": {key: value}} for key, value in HYDRAS.items()), {"defaults": ["evil"]}, {"mine": 1}]


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_a_configuration_holds_no_settings_of_hydra(head: dict, run: Path) -> None:
    edit(run, lambda config: config.update(head))
    refused(run, f"has '{next(iter(head))}', which is no key of a run: take it out")


def test_hydra_reads_nothing_in_the_folder(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Settings where Hydra would look for them, had it the folder among its own."""
    hydra = {"callbacks": {"mine": {"_target_": "evil.made"}}, "job_logging": HYDRAS["job_logging"]}
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    for name in ("gantool", "resume", "train", "hydra/job_logging/gantool", "hydra/callbacks/mine", "trainer/default"):
        (run / ".hydra" / name).parent.mkdir(parents=True, exist_ok=True)
        (run / ".hydra" / f"{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump({"hydra": hydra}))
    path = run / ".hydra" / "config.yaml"
    path.write_text("# @package hydra\n" + path.read_text())
    assert main(["train", f"resume={run}", "trainer.duration=2it", "hydra/launcher=basic"]) == 0
    assert main(["train", f"resume={run}", "hydra/callbacks=mine"]) == 1
    assert capfd.readouterr().err.count("\n") == 1


def told(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that is refused."""
    capfd.readouterr()
    assert main(words) == 1
    line = capfd.readouterr().err
    assert line.count("\n") == 1, line
    return line


@pytest.mark.parametrize("command", [*ON_A_RUN, "train", "bench"])
def test_every_command_refuses_what_is_not_gantools(
    command: str, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "sesame")
    words = [command, f"{'run' if command in ON_A_RUN else 'resume'}={run}"]
    edit(run, lambda config: config["recipe"].update(x="${oc.env:SECRET}"))
    if command == "report":  # builds nothing
        assert main(words) == 0 and "sesame" not in (run / "report.html").read_text()
    else:
        assert "oc.env:SECRET" in told(words, capfd)
    edit(run, lambda config: (config["recipe"].pop("x"), PLACES["loss"](config, {"_target_": "evil.made"})))
    if command == "report":
        assert main(words) == 0 and "evil.made" in (run / "report.html").read_text()
    else:
        assert "asks for 'evil.made'" in told(words, capfd)
    assert "trust=" in told([*words, "trust=perhaps"], capfd)
    edit(run, lambda config: config.update(hydra={"callbacks": HYDRAS["callbacks"]}))
    assert "has 'hydra'" in told([*words, "trust=true"], capfd)
