"""A stranger's run is data: what its configuration asks for beside gantool's parts is refused before it happens."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import gantool
from extent import some
from gantool.cli import main
from gantool.errors import GantoolError
from stranger import TARGETS, edit, refused, set_traps, told

ON_A_RUN = ["sample", "interpolate", "project", "truncation", "evaluate", "embed", "explain", "export", "report"]


@pytest.fixture
def run(trained_run: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run beside files that make a marker when they are loaded, which nothing does."""
    shutil.copytree(trained_run, in_tmp / "run")
    marker = set_traps(in_tmp)
    monkeypatch.syspath_prepend(in_tmp)
    yield in_tmp / "run"
    assert not marker.exists()


PLACES: dict[str, Callable[[dict, Any], object]] = {
    "loss": lambda config, node: config.update(loss=node),
    "a list": lambda config, node: config["model"]["generator"].update(hidden=[16, [node]]),
    "an argument": lambda config, node: config["model"]["latent"].update(dim=node),
    "a part by name": lambda config, node: config.update(regularizer={"mine": node}),
    "a schedule": lambda config, node: config["trainer"].update(ema_half_life=node),
    "what another key repeats": lambda config, node: (
        config["recipe"].update(x=node),
        config.update(loss="${recipe.x}"),
    ),
    "an optimizer": lambda config, node: config["optimizer"].update(schedule=node),
    "a data set": lambda config, node: config.update(dataset={**config["dataset"], **node}),
    "features": lambda config, node: config.update(features=node),
    "a score": lambda config, node: config.update(score={"fd": node}),
    "a monitor": lambda config, node: config.update(monitor={"fd": {"every": "1it", **node}}),
}


@pytest.mark.parametrize("target", some(TARGETS, 11))
def test_a_target_that_is_no_part_is_refused(target: str, run: Path) -> None:
    edit(run, lambda config: PLACES["loss"](config, {"_target_": target, **TARGETS[target]}))
    refused(run, f"asks for '{target}', which is not gantool's own: trust=true")


@pytest.mark.parametrize("place", PLACES)
def test_wherever_it_stands(place: str, run: Path) -> None:
    edit(run, lambda config: PLACES[place](config, {"_target_": "evil.made"}))
    refused(run, "asks for 'evil.made', which is not gantool's own: trust=true (Python: True) builds it and so runs")


@pytest.mark.parametrize(
    "target", ["${recipe.t}", ["evil.made"], {"a": 1}, 3, None, "", "gantool.losses", "Hinge", "a\nb"]
)
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


CALLS = ["oc.env:HOME", "oc.env:GANTOOL_DATA,${oc.env:HOME}", "oc.decode:'[1]'", "oc.create:{_target_:evil.made}"]
CALLS += ["hydra:runtime.cwd", "${recipe.lr}:x", "oc.select:recipe", "file_name:x", " oc.env : HOME", "now:%Y"]
CALLS += ["times:${oc.env:HOME},${recipe.lr}", "times:${recipe.lr},${recipe.lr},${oc.env:HOME}", "times:${recipe.lr}"]


@pytest.mark.parametrize("call", CALLS)
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
    refused(run, f"has '{next(iter(head))}', which is not a key of a run: take it out")


@pytest.mark.parametrize("flag", ["--experimental-rerun", "--experimental-rerun=trap.pkl", "--experimental-r"])
def test_no_command_unpickles_a_job(flag: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("train", "sample"):
        assert "unpickles a file" in told([command, flag, "trap.pkl"], capfd)


def test_hydra_reads_nothing_in_the_folder(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Settings where Hydra would look for them, had it the folder among its own."""
    hydra = {"callbacks": {"mine": {"_target_": "evil.made"}}, "job_logging": HYDRAS["job_logging"]}
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    for name in ("gantool", "resume", "train", "hydra/job_logging/gantool", "hydra/callbacks/mine", "trainer/default"):
        (run / ".hydra" / name).parent.mkdir(parents=True, exist_ok=True)
        (run / ".hydra" / f"{name}.yaml").write_text("# @package _global_\n" + yaml.safe_dump({"hydra": hydra}))
    path = run / ".hydra" / "config.yaml"
    path.write_text("# @package hydra\n" + path.read_text())
    assert main(["train", f"resume={run}", "trainer.duration=2it", "hydra/env=default"]) == 0
    assert main(["train", f"resume={run}", "hydra/callbacks=mine"]) == 1
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", some(["train", *ON_A_RUN, "bench"], 3))
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
