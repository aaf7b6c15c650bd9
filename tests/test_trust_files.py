"""What else a stranger's files may try: links, downloads, snapshots, and a folder where the user's own run goes on."""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import gantool
from extent import some
from gantool.cli.main import main
from gantool.config.composed import load_composed
from gantool.config.trust import check_links
from gantool.errors import GantoolError
from gantool.lock import is_held, locked
from runs import small
from stranger import TARGETS, edit, refused, set_traps, told


@pytest.fixture
def run(trained_run: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run beside files that make a marker when they are loaded, which nothing does."""
    shutil.copytree(trained_run, in_tmp / "run")
    marker = set_traps(in_tmp)
    monkeypatch.syspath_prepend(in_tmp)
    yield in_tmp / "run"
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["checkpoints", "samples", "sampled", "metrics.jsonl", ".lock", ".hydra/overrides.yaml"]
)
def test_a_link_out_of_the_folder_is_not_followed(name: str, run: Path) -> None:
    """What is written into it would land anywhere."""
    path = run / name
    if path.exists():
        path.rename(run.parent / "elsewhere")
    else:
        (run.parent / "elsewhere").touch()
    path.symlink_to(run.parent / "elsewhere")
    before = (run.parent / "elsewhere").stat().st_mtime_ns
    refused(run, f"{path} leads to {run.parent / 'elsewhere'}: remove it, or trust=true")
    assert (run.parent / "elsewhere").stat().st_mtime_ns == before
    assert load_composed(run, trusted=True) is not None
    path.unlink()
    path.symlink_to(path)  # round and round
    refused(run, f"{path} leads to ")
    path.unlink()
    os.mkfifo(path)
    refused(run, f"{path} is not a plain file")


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "status.json"])
def test_nor_where_a_run_or_a_sweep_goes_on(name: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without resume=, as a user may in a folder that somebody else has begun."""
    elsewhere, words = run.parent / "elsewhere", small(run, model="mlp")
    (run / name).rename(elsewhere)
    (run / name).symlink_to(elsewhere)
    shutil.copytree(run, run.parent / "sweep" / "0-theirs", symlinks=True)
    before = {path: path.lstat().st_mtime_ns for path in (run.parent, elsewhere, *run.parent.rglob("*"))}
    line = told(words, capfd)
    assert f"{run / name} leads to {elsewhere}: remove it, or choose another folder; resume={run} trust=true" in line
    with pytest.raises(GantoolError, match="leads to"):
        gantool.train(words[1:])
    words = [word for word in words if not word.startswith("hydra")] + [f"hydra.sweep.dir={run.parent / 'sweep'}"]
    assert "or choose another hydra.sweep.dir" in told([*words, "-m", "trainer.seed=1,2"], capfd)
    assert before == {path: path.lstat().st_mtime_ns for path in (run.parent, elsewhere, *run.parent.rglob("*"))}


def test_a_link_of_the_users_own_is_none_where_no_run_is(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Such as to a big disk; what then is told goes on with it."""
    run, words = in_tmp / "run", small(in_tmp / "run", model="mlp", rounds=1)
    run.mkdir()
    (in_tmp / "disk").mkdir()
    (run / "checkpoints").symlink_to(in_tmp / "disk")
    assert main(words) == 0 and list((in_tmp / "disk").glob("*.pt"))
    advice = told(words, capfd).rpartition("; ")[2].split()
    assert main(["train", *advice[:2], "trainer.duration=2it"]) == 0
    for path in (in_tmp / "disk").iterdir():
        path.unlink()
    assert told(words, capfd).endswith("remove it, or choose another folder\n"), "there is nothing to resume"


def test_nor_where_states_are_left_and_no_settings(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever takes the settings away leaves a folder that goes on by the run's own command."""
    shutil.rmtree(run / ".hydra")
    elsewhere = (run / "metrics.jsonl").rename(run.parent / "elsewhere")
    (run / "metrics.jsonl").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    line = told(small(run, model="mlp"), capfd)
    assert line.endswith(f"{run / 'metrics.jsonl'} leads to {elsewhere}: remove it, or choose another folder\n")
    assert elsewhere.read_bytes() == before


NAMES = ["metrics.jsonl", "status.json", ".lock", ".sweep.lock", "sweep.json", "checkpoints", "samples/grid.png"]


@pytest.mark.parametrize("name", some(NAMES, 3))
def test_no_name_that_is_written_leads_to_a_file(name: str, in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not even where nothing else is, nor to a file that would be made."""
    folder, elsewhere = in_tmp / "new", in_tmp / "elsewhere"
    path = folder / name
    path.parent.mkdir(parents=True)
    (folder / "notes").symlink_to(elsewhere)
    (folder / "disk").symlink_to(in_tmp)
    check_links(folder, begun=False)
    for other in ("notes", "disk"):
        (folder / other).unlink()
    path.symlink_to(elsewhere)
    with pytest.raises(GantoolError, match="elsewhere: remove it"):
        check_links(folder, begun=False)
    elsewhere.write_text("kept")
    words = small(folder, model="mlp")
    assert f"{path} leads to {elsewhere}: remove it, or choose another folder" in told(words, capfd)
    swept = [*(word for word in words if not word.startswith("hydra")), "-m", f"hydra.sweep.dir={folder}"]
    assert f"{path} leads to {elsewhere}: remove it, or choose another hydra.sweep.dir" in told(swept, capfd)
    assert elsewhere.read_text() == "kept"


def test_wandbs_link_to_its_own_log_is_left_to_it(run: Path) -> None:
    for name in ("logs/debug-core.log", "logs/debug.log", "debug-core.log", "logs/config.yaml"):
        path = run / "wandb" / "offline-run-1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(run.parent / "elsewhere")
        if name == "logs/debug-core.log":
            assert gantool.load_run(run, device="cpu").nimg == 16
            for folder in (run, run.parent):  # of a run and of a sweep
                check_links(folder)
        else:
            refused(run, f"{path} leads to")
            path.unlink()


def test_a_lock_that_is_a_link_is_nobodys(tmp_path: Path) -> None:
    """It is not even opened."""
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with locked(tmp_path / "elsewhere"):
        assert not is_held(tmp_path / ".lock") and is_held(tmp_path / "elsewhere")
    assert not is_held(tmp_path / ".lock")


def test_a_link_inside_the_folder_is(run: Path) -> None:
    (run / "samples").rename(run / "pictures")
    (run / "samples").symlink_to("pictures")
    assert gantool.load_run(run, device="cpu").nimg == 16


@pytest.mark.parametrize(
    "target", some(["gantool.data.mnist.Mnist", "gantool.data.cifar10.Cifar10", "gantool.data.celeba.CelebA"], 1)
)
def test_data_sets_are_fetched_to_the_users_own_folder_only(
    target: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def downloads(root: object, **load: bool) -> object:
        edit(run, lambda config: config.update(dataset={**config["dataset"], "_target_": target, "root": root}))
        return load_composed(run, **load).dataset.get("download", True)

    assert downloads(str(run.parent / "bin")) is False and downloads("~") is False
    assert downloads(str(run.parent / "bin"), trusted=True) is True
    for hidden in ("${oc.env:GANTOOL_DATA,/bin}", "${recipe.x}", "data/..", "~nobody-here", "", 3):
        assert downloads(hidden) is False, hidden
    assert downloads("data") and downloads("${oc.env:GANTOOL_DATA,data}") and downloads(str(run.parent / "data"))
    monkeypatch.setenv("GANTOOL_DATA", str(run.parent / "mine"))
    assert downloads("data") is False and downloads("${oc.env:GANTOOL_DATA,data}") is True


def test_nor_is_one_that_stands_elsewhere(run: Path) -> None:
    """Such as in features that want a data set of their own, under a name that no path can tell."""
    node = {"_target_": "gantool.data.mnist.Mnist", "root": "/bin", "download": True}
    features = {"_target_": "gantool.metrics.classifier.ClassifierFeatures", "source": node}
    edit(run, lambda config: config.update(features=features, score={"a.b": {"_target_": "x", "list": [node]}}))
    edit(run, lambda config: config["score"]["a.b"].update(_target_="gantool.metrics.scores.Recall"))
    text = OmegaConf.to_yaml(load_composed(run))
    assert text.count("download: false") == 2 and "download: true" not in text


def test_nothing_is_fetched_by_a_command_either(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    node = {"_target_": "gantool.data.mnist.Mnist", "root": str(run.parent / "bin"), "download": True}
    edit(run, lambda config: config["dataset"].update(node))
    for words in (
        ["evaluate", f"run={run}"],
        ["embed", f"run={run}"],
        ["train", f"resume={run}", "trainer.duration=9it"],
    ):
        assert f"no MNIST in {run.parent / 'bin'}" in told(words, capfd)
    assert not (run.parent / "bin").exists()


# Parts of gantool that are no part of a generator, and none at all.
ELSEWHERE = ["gantool.networks.layers.apply_spectral_norm", "gantool.networks.nothing.Generator"]


@pytest.mark.parametrize("target", [*TARGETS, *ELSEWHERE])
def test_a_snapshot_names_no_other_code(target: str, run: Path) -> None:
    path = run / "exported" / "snapshot.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["config"])
    config["parts"]["generator"]["hidden"] = [{"_target_": target, **TARGETS.get(target, {})}]
    save_file(load_file(path), path, {**metadata, "config": json.dumps(config)})
    with pytest.raises(GantoolError, match=f"asks for '{re.escape(target)}'"):
        gantool.load(path)


def test_the_users_own_command_goes_on_in_a_folder_and_takes_nothing_from_its_file(
    run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "sesame")
    monkeypatch.setattr(logging.root, "handlers", [])
    edit(run, lambda config: config["trainer"].update(seed="${oc.env:SECRET}", watchdog="${oc.decode:'{a: 1}'}"))
    edit(run, lambda config: config["loss"].update({"_target_": "evil.made"}))
    words = [*small(run, "trainer.seed=7", model="mlp", rounds=3)[1:]]
    done = gantool.train(words)
    assert done.nimg == 24 and done.config.loss.target == "gantool.losses.NonSaturating"
    assert load_composed(run).loss._target_ == "gantool.losses.NonSaturating"
    edit(run, lambda config: config["loss"].update({"_target_": "evil.made"}))
    assert gantool.train(words).nimg == 24, "it was finished, and its file stands as it is"
    assert "sesame" not in capfd.readouterr().out
    log = "".join(path.read_text() for path in run.glob("*.log"))
    assert "sesame" not in log


def test_only_one_module_reads_the_configuration_of_a_run() -> None:
    """So there is no way round config.trust; config.written reads files of the user's own --config-dir, config.shipped
    those of gantool."""
    root = Path(gantool.__file__).parent
    texts = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}
    reading = {name for name, text in texts.items() if re.search(r"OmegaConf\.load|yaml\.\w*load|read_saved\(", text)}
    assert reading == {
        "config/composed.py",
        "config/shipped.py",
        "config/written.py",
        "page/reading.py",
        "sweeps/results.py",
        "sweeps/storage.py",
    }
    assert not any(
        "OmegaConf.load" in texts[name] for name in ("page/reading.py", "sweeps/results.py", "sweeps/storage.py")
    )
