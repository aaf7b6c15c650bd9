"""Files of other versions of gantool: keys that came later have their defaults, what cannot be read is one line."""

import json
import shutil
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import gantool
from composing import composed
from gantool.cli import main
from gantool.config import read
from gantool.config.composed import load_composed
from gantool.config.schema import DATASET_OWNED, OPTIMIZER_OWNED, RecipeConfig, TrainerConfig, WatchdogConfig
from gantool.errors import GantoolError
from gantool.paths import conf_dir
from gantool.training.checkpoint import Checkpoints
from runs import newest
from stranger import edit, told

LATER = [
    *(("trainer", key) for key in TrainerConfig.model_fields),
    *(("trainer", "watchdog", key) for key in WatchdogConfig.model_fields),
    *(("recipe", key) for key in RecipeConfig.model_fields),
    *(("dataset", key) for key in DATASET_OWNED if key not in ("resolution", "num_classes", "channels")),
    *(("optimizer", key) for key in OPTIMIZER_OWNED if key not in ("schedule", "beta2")),
    *((key,) for key in ("trainer", "regularizer", "auxiliary", "score", "monitor", "sweep_metric")),
]


@pytest.fixture
def run(trained_run: Path, in_tmp: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained_run, in_tmp / "run"))


def test_a_key_that_came_later_has_its_default(run: Path) -> None:
    path = run / ".hydra" / "config.yaml"
    whole: dict[str, Any] = yaml.safe_load(path.read_text())
    assert whole.pop("format") == 1
    default = OmegaConf.to_container(composed("model=mlp", "score=none", "monitor=none")[0])
    assert isinstance(default, dict)
    default["recipe"] = yaml.safe_load((conf_dir() / "train.yaml").read_text())["recipe"]  # a model's own is in the run
    for depth in (1, 2, 3):
        group = [keys for keys in LATER if len(keys) == depth]
        earlier = deepcopy(whole)
        for keys in group:
            *outer, last = keys
            del reduce(getitem, outer, earlier)[last]
        path.write_text(yaml.safe_dump(earlier))
        found: Any = OmegaConf.to_container(load_composed(run))
        for keys in group:
            assert reduce(getitem, keys, found) == reduce(getitem, keys, default), keys
        read(load_composed(run))


def test_an_earlier_run_is_opened_and_goes_on(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(run, lambda c: (c.pop("format"), c["trainer"].pop("keep_checkpoints"), c["trainer"]["watchdog"].pop("every")))
    assert gantool.load_run(run, device="cpu").nimg == 16
    assert main(["train", f"resume={run}", "trainer.duration=3it"]) == 0
    assert "changed: trainer.duration 2it -> 3it\n" in (out := capfd.readouterr().out) and out.count("changed:") == 1
    saved = yaml.safe_load((run / ".hydra" / "config.yaml").read_text())
    assert saved["format"] == 1 and saved["trainer"]["keep_checkpoints"] == 2


@pytest.mark.parametrize("made", [2, 99, "x", None, [1]])
def test_a_later_configuration_is_one_line(made: object, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(run, lambda config: config.update(format=made))
    for words in (["sample", f"run={run}"], ["train", f"resume={run}"], ["report", f"run={run}"]):
        assert "was made by a later version of gantool" in told(words, capfd)


def test_a_later_snapshot_and_one_that_lacks_something(run: Path) -> None:
    path = run / "exported" / "snapshot.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state, config = load_file(path), json.loads(metadata["config"])

    def loaded(**changed: str) -> object:
        save_file(state, path, {**metadata, **changed})
        return gantool.load(path)

    assert loaded() is not None
    with pytest.raises(GantoolError, match=r"was written by a later version of gantool \(gantool snapshot 3\)"):
        loaded(format="gantool snapshot 3")
    for key in ("parts", "names", "shape"):
        for value in (None, [], [1], "x", {}, {"generator": 1}, 3):
            with pytest.raises(GantoolError, match=r"not a snapshot of gantool|holds the generators|does not fit"):
                loaded(config=json.dumps({**config, key: value}))
        with pytest.raises(GantoolError, match="is not a snapshot of gantool"):
            loaded(config=json.dumps({name: value for name, value in config.items() if name != key}))
    for part in ("generator", "latent"):
        for value in (None, 1, [], {"_target_": config["parts"][part]["_target_"], "strange": 1}):
            with pytest.raises(GantoolError, match=r"not a snapshot of gantool|does not fit gantool|asks for"):
                loaded(config=json.dumps({**config, "parts": {**config["parts"], part: value}}))
    for text in ("", "[", "null", "[" * 100_000, '"x"', "NaN"):
        with pytest.raises(GantoolError, match="is not a snapshot of gantool"):
            loaded(config=text)


def test_a_later_checkpoint_is_refused_and_an_earlier_one_read(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound, checkpoints = newest(run), Checkpoints(run)
    earlier = {key: value for key, value in sound.items() if key not in ("format", "watch", "rate_factor")}
    checkpoints.save({**earlier, "progress": {**sound["progress"], "nimg": 24}}, 24)
    assert gantool.load_run(run, device="cpu").nimg == 24 and not caplog.records
    path = checkpoints.save({**sound, "format": 99}, 32)
    with pytest.raises(GantoolError, match=r"later version of gantool \(format 99\): use that one"):
        gantool.load_run(run)
    assert path.exists()
