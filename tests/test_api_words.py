"""gantool.train takes the words of the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gantool
from composing import composed
from gantool.config.composed import save_composed, settings
from gantool.errors import GantoolError
from gantool.paths import conf_dir
from runs import small

WORDS = {
    "model.generator.attention=16": 16,
    "optimizer.generator.betas=[0.5,0.9]": [0.5, 0.9],
    "trainer.freeze.discriminator=1": 1,
    "trainer.target.fd_digits=2": 2,
}


def test_words_that_no_yaml_file_names(in_tmp: Path) -> None:
    words = small(
        in_tmp / "a run, (1)", *WORDS, "score=[fd]", "monitor=scores", "monitor.scores.num=20", model="dcgan", rounds=1
    )[1:]
    run = gantool.train(words)
    assert run.nimg == 8
    found = settings(in_tmp / "a run, (1)")
    assert {word: found[word.partition("=")[0]] for word in WORDS} == WORDS


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("resume=run", "hydra.run.dir=FOLDER continues"),
        ("trainer=3", "trainer is a group"),
        ("dataset.root=", "dataset.root= has no value"),
        ("model.generator.attentoin=16", "attentoin"),
        ("hydra/sweeper=study", "gantool train -m"),
        ("study.trials=40", "hydra/sweeper=study"),
        ("hydra/launcher=slurm", "gantool train -m"),
        ("hydra.sweep.dir=sweep", "gantool train -m"),
        ("trainer.dry_run=true", "makes no run to return"),
    ],
)
def test_words_that_are_wrong_are_one_line(in_tmp: Path, word: str, line: str) -> None:
    with pytest.raises(GantoolError, match=line) as told:
        gantool.train([*small(in_tmp / "run", model="dcgan", rounds=1)[1:], word])
    assert "\n" not in str(told.value) and not (in_tmp / "run").exists()


def test_one_text_is_no_list_of_words() -> None:
    with pytest.raises(GantoolError, match=r"give a list of words, gantool.train\(\['model=mlp', 'trainer.seed=1'\]\)"):
        gantool.train("model=mlp trainer.seed=1")


@pytest.mark.parametrize(
    ("words", "more", "line"),
    [
        ({"model": "mlp", "trainer.seed": 1}, {}, "list of words: gantool.train(['model=mlp', 'trainer.seed=1'])"),
        (["loss=hinge"], {"model": "mlp"}, "list of words: gantool.train(['loss=hinge', 'model=mlp'])"),
        (["model=mlp"], {"resume": "x"}, "hydra.run.dir=FOLDER continues"),
        ({"resume": "x"}, {}, "hydra.run.dir=FOLDER continues"),
        ([3], {}, "[3] is no list of words: give one"),
        (None, {}, "None is no list of words: give one"),
    ],
)
def test_what_is_no_list_of_words_is_one_line(words: Any, more: dict[str, Any], line: str) -> None:
    with pytest.raises(GantoolError) as told:
        gantool.train(words, **more)
    assert line in str(told.value) and "\n" not in str(told.value)


def test_a_run_has_its_last_scores(trained_run: Path) -> None:
    run = gantool.load_run(trained_run, device="cpu")
    assert run.scores and run.scores == json.loads((trained_run / "status.json").read_text())["metrics"]
    assert f"scores={run.scores}" in repr(run)


READ = """import sys, gantool
print(gantool.load_run(sys.argv[1], device="cpu").nimg)
from pathlib import Path
from gantool.config import read
from gantool.config.composed import load_composed
for run in sys.argv[2:]: print(Path(run).name, read(load_composed(Path(run))).model.node["discriminator"]["_target_"])
"""


def test_a_python_that_ran_no_command_reads_every_models_run(trained_run: Path, tmp_path: Path) -> None:
    """What a saved configuration calls, ${norm:...} and ${times:...}, is known as soon as gantool is imported."""
    models = sorted(file.stem for file in (conf_dir() / "model").glob("*.yaml"))
    for model in models:
        cfg, hydra = composed(f"model={model}")
        save_composed(cfg, tmp_path / model, hydra)
    text = "".join((tmp_path / model / ".hydra" / "config.yaml").read_text() for model in models)
    assert "${norm:" in text and "${times:" in text
    command = [sys.executable, "-c", READ, str(trained_run), *(str(tmp_path / model) for model in models)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert int(first) > 0 and [line.split()[0] for line in lines] == models


def test_help_and_completion_name_what_there_is() -> None:
    names = {"train", "load", "load_run", "GantoolError"}
    assert names <= {*dir(gantool)} and all(f"gantool.{name}(" in str(gantool.__doc__) for name in ("train", "load"))


def test_a_mistake_leaves_no_folder_and_two_runs_never_share_one(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word for word in small(in_tmp, model="dcgan", rounds=1)[1:] if not word.startswith("hydra.run.dir")]
    with pytest.raises(GantoolError):
        gantool.train([*words, "trainer.batch_size=0"])
    assert not list(in_tmp.iterdir())
    monkeypatch.setattr("time.time", lambda: 1.8e9)  # both within a second
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp / "cache"))
    assert gantool.train([*words, "trainer.seed=1"]).folder != gantool.train([*words, "trainer.seed=2"]).folder


def test_parts_of_ones_own_in_a_folder_with_any_name(in_tmp: Path) -> None:
    own = in_tmp / "my conf (1), new"
    (own / "experiment").mkdir(parents=True)
    (own / "experiment" / "mine.yaml").write_text("# @package _global_\ntrainer: {seed: 7}\n")
    words = [*small(in_tmp / "run", model="dcgan", rounds=1)[1:], "experiment=mine"]
    assert gantool.train(words, config_dir=own).config.trainer.seed == 7


@pytest.mark.parametrize("device", ["auto", "cuda:1"])
def test_the_run_is_opened_where_it_was_trained(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr("gantool.api.train_run", lambda *words: None)
    monkeypatch.setattr("gantool.api.open_run", lambda *words, **how: how["device"])
    assert gantool.train([f"trainer.device={device}"]) == device
