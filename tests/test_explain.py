"""gantool explain: every kind of model, numbers that agree with the checkpoint's networks, and what it refuses."""

import csv
import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from extent import some, thorough
from gantool.cli.main import main
from gantool.growth import Progressive
from gantool.runs.explanation import chosen, drawn, judges, seen
from gantool.runs.subject import open_subject
from gantool.runs.trained import load_run
from runs import TRANSLATORS, choices, train

SMALL = ["latents=3", "shown=2", "directions=2", "steps=3", "images=2", "integral_steps=8"]
FILES = ("spectrum.png", "directions.png", "attributions.png", "singular_values.csv", "explain.json")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional run."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    train(folder, "model.conditional=true", model="mlp", rounds=2)
    return folder


@pytest.mark.parametrize("model", some((model for model in choices("model") if model not in TRANSLATORS), 1))
def test_every_model(in_tmp: Path, model: str) -> None:
    conditional = model not in ("infogan", "mlp")
    train(in_tmp / "run", *(["model.conditional=true"] if conditional else []), model=model, rounds=1)
    assert main(["explain", f"run={in_tmp / 'run'}", *SMALL, "baseline=mean"]) == 0
    (out,) = (in_tmp / "run" / "explained").iterdir()
    known = json.loads((out / "explain.json").read_text())
    with (out / "singular_values.csv").open() as file:
        values = np.array([[float(row[f"latent {i}"]) for i in range(3)] for row in csv.DictReader(file)])
    assert (np.diff(values, axis=0) <= 0).all() and (values >= 0).all()
    np.testing.assert_allclose(known["generator"]["by_latent"]["largest"], values[0])
    assert all(1 <= rank <= len(values) for rank in known["generator"]["by_latent"]["effective_rank"])
    judged = known["discriminator"]["images"]
    assert [one["side"] for one in judged] == ["real"] * 2 + ["generated"] * 2
    assert [one["class"] for one in judged] == (["0", "1"] * 2 if conditional else [None] * 4)
    assert known["discriminator"]["batch_mixes_images"] == (model == "progan")
    assert all(np.asarray(Image.open(out / name)).std() > 5 for name in FILES[:3])


@pytest.mark.parametrize("model", some(["mlp", "dcgan", "resnet"], 1))
def test_batch_norm_judges_each_side_by_its_own_statistics(in_tmp: Path, model: str) -> None:
    train(in_tmp / "run", "model.discriminator.norm=batch", "model.conditional=true", model=model, rounds=1)
    subject = open_subject(load_run(in_tmp / "run"), None, "explain")
    rows, labels = chosen(subject.pool([]), 500, 0), subject.image_set.classes
    assert labels is not None
    network, told = subject.game.discriminator, labels[rows]
    z, _ = drawn(subject, 500, "statistics", 0)
    images = {"real": seen(subject, rows), "generated": subject.run.generators["generator"](z, told)}
    for side, judge in judges(subject, 0).items():
        in_training, alone = (one(images[side], told) for one in (deepcopy(network).train(), network))
        off = (judge(images[side], told) - in_training).abs().mean()
        assert float(off) < 0.1 * float((alone - in_training).abs().mean()), side
    assert not network.training, "the run's own network stays as it is"


@thorough
def test_the_seed_decides_and_tensorboard_shows(run: Path, in_tmp: Path) -> None:
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert main(["explain", f"run={run}", *SMALL, "classes=[3,7]", f"seed={seed}", f"out={out}"]) == 0
    for name in FILES:
        assert (in_tmp / "a" / name).read_bytes() == (in_tmp / "b" / name).read_bytes()
    a, c = (json.loads((in_tmp / out / "explain.json").read_text()) for out in "ac")
    assert [one["class"] for one in a["discriminator"]["images"]] == ["3", "7", "3", "7"]
    assert a["generator"]["by_latent"]["largest"] != c["generator"]["by_latent"]["largest"]
    events = EventAccumulator(str(in_tmp / "a")).Reload()
    tags = {f"explained/{name}" for name in ("spectrum", "directions", "attributions")}
    assert set(events.Tags()["images"]) == tags


@pytest.mark.parametrize("command", some(["explain", "embed"], 1))
def test_a_game_that_translates_is_refused(in_tmp: Path, command: str, capfd: pytest.CaptureFixture) -> None:
    train(in_tmp / "run", model="pix2pix", rounds=1)
    assert main([command, f"run={in_tmp / 'run'}"]) == 1
    assert f"is a CycleGAN or pix2pix run: gantool {command} needs a latent" in capfd.readouterr().err


@thorough
def test_a_run_that_is_still_growing(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progressive, "stage", lambda self, progress: 1.5)  # 16 pixels, half faded in
    train(in_tmp / "run", model="progan", rounds=1)
    assert main(["explain", f"run={in_tmp / 'run'}", *SMALL, f"out={in_tmp / 'out'}"]) == 0
    known = json.loads((in_tmp / "out" / "explain.json").read_text())
    assert known["discriminator"]["resolution"] == 16


@thorough
def test_a_wide_image(in_tmp: Path) -> None:
    train(in_tmp / "run", "dataset.resolution=[16,80]", model="mlp", rounds=1)
    assert main(["explain", f"run={in_tmp / 'run'}", *SMALL, f"out={in_tmp / 'out'}"]) == 0
    known = json.loads((in_tmp / "out" / "explain.json").read_text())
    assert known["discriminator"]["resolution"] == [16, 80]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run={tmp}"], "not a run folder: it has no .hydra/config.yaml"),
        (["run={run}", "classes=12"], "knows classes 0 to 9"),
        (["run={run}", "directions=9"], "has 8 dimensions"),
        (["run={run}", "latents=2", "shown=9"], "shown=9: there are latents=2; raise it, or leave shown out"),
        (["run={run}", "steps=4"], "steps=4: should be odd"),
        (["run={run}", "baseline=white"], "'black' or 'mean'"),
        (["run={run}", "span=-1"], "span=-1: should be greater than 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_one_line(
    run: Path, in_tmp: Path, words: list[str], message: str, capfd: pytest.CaptureFixture
) -> None:
    assert main(["explain", *(word.format(run=run, tmp=in_tmp) for word in words)]) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1 and message in errors[0] and not (run / "explained").exists()
