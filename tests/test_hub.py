"""What an export tells: the card beside every snapshot, the folder for the Hub, and what comes from there."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import gantool
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.logging.status import read_status
from gantool.runs import card, exporting
from gantool.runs.card import write_card
from gantool.runs.hub import NAME, is_on_hub
from gantool.runs.labelled import Labelled
from gantool.runs.trained import load_run
from runs import train

REVISION = "0" * 40


@pytest.fixture
def on_hub(in_tmp: Path, trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of format=hub, in huggingface_hub's own cache as someone/digits; there is no network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    run = shutil.copytree(trained_run, in_tmp / "run")
    assert main(["export", f"run={run}", "format=hub", "license=cc-by-4.0"]) == 0
    place = in_tmp / "cache" / "models--someone--digits"
    shutil.copytree(run / "hub", place / "snapshots" / REVISION)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(REVISION)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(in_tmp / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return run


def test_a_folder_for_the_hub_has_a_card_and_no_path_of_this_machine(on_hub: Path, in_tmp: Path) -> None:
    folder = on_hub / "hub"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "samples.png", NAME]
    card = (folder / "README.md").read_text()
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "gantool",
        "pipeline_tag": "unconditional-image-generation",
        "license": "cc-by-4.0",
        "tags": ["gan", "mlp"],
    }
    score, status = "fd_digits", read_status(on_hub)
    assert f"| {score} (lower is better) | {status['metrics'][score]:.1f}"[:34] in text and "floor" in text
    for line in ("| loss | non-saturating |", "| seed | 7 |", "mnist-5k: 1x32x32 pixels", "The weights: cc-by-4.0."):
        assert line in text
    assert Image.open(folder / "samples.png").size[0] >= 512
    for path in folder.iterdir():
        assert str(in_tmp).encode() not in path.read_bytes()


def test_load_and_init_take_a_name_on_the_hub(on_hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    here = gantool.load(on_hub / "hub").sample(3)
    for name in ("someone/digits", f"someone/digits@{REVISION}", "hf://someone/digits"):
        assert torch.equal(gantool.load(name).sample(3), here)
    for name, reason in (("someone/else", "from the Hub"), ("some/where/else", "not a readable")):
        with pytest.raises(GantoolError, match=reason):
            gantool.load(name)
    words = ["model=mlp", "model.generator.hidden=[16,16]", "model.discriminator.hidden=[16,16]", "model.latent.dim=8"]
    words += ["score=none", "trainer.duration=1it", "hydra.run.dir=new"]
    assert main(["train", "init=someone/digits", *words]) == 0
    assert "17,856 of 17,856 parameters taken" in capfd.readouterr().out


@pytest.mark.parametrize("half_life", ["2kimg", "{_target_: gantool.schedules.Ramp, start: 0, end: 64, until: 1}"])
def test_a_card_tells_of_the_average_in_words(in_tmp: Path, half_life: str) -> None:
    train(in_tmp / "run", f"trainer.ema_half_life={half_life}", model="mlp", rounds=1)
    write_card(in_tmp, load_run(str(in_tmp / "run"), device="cpu"), None)
    [line] = [line for line in (in_tmp / "README.md").read_text().splitlines() if line.startswith("| weights")]
    assert line == f"| weights | averaged, half-life {'2kimg' if half_life == '2kimg' else 'on a schedule'} |"


def test_a_card_names_the_classes_and_asks_for_one(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(in_tmp / "run", "model.conditional=true", model="mlp", rounds=1)
    run = load_run(str(in_tmp / "run"), device="cpu")
    strange = ["horse", "*a_b*", *(str(number) for number in range(7)), 'a "zebra"']
    monkeypatch.setattr(card, "_FEW", 4)
    for names, listed, asked in (
        (run.labelled.names, "10 classes: 0, 1, 2, 3, ....", 'labels="9"'),
        (strange, r"10 classes: horse, \*a\_b\*, 0, 1, ....", r'labels="a \"zebra\""'),
        ([], "10 classes.", "labels=9"),
    ):
        write_card(in_tmp, replace(run, labelled=Labelled(10, names)), None)
        text = (in_tmp / "README.md").read_text()
        assert listed in text and f"generator.sample(64, seed=0, {asked})" in text
        assert "unconditional" not in text


def test_every_snapshot_has_a_card(trained_run: Path, in_tmp: Path) -> None:
    card = (trained_run / "exported" / "README.md").read_text()
    assert "license: unknown" in card and "Not stated" in card and (trained_run / "exported" / "samples.png").is_file()
    assert main(["export", f"run={trained_run}", "format=snapshot", "ema=false", f"out={in_tmp / 'live'}"]) == 0
    (live,) = in_tmp.glob("live/**/README.md")
    assert "| weights | as trained |" in live.read_text()
    for text in (card, live.read_text()):  # whatever the weights are, the scores are the averaged generator's
        assert "- ema: True" in text and "- shape: 1x32x32" in text


def test_what_is_here_is_never_looked_for_on_the_hub(in_tmp: Path) -> None:
    (in_tmp / "a" / "b").mkdir(parents=True)
    found = {name: is_on_hub(name) for name in ("a/b", "a/c", "a/b.safetensors", "./a", "~/a", "a", "a/b/c")}
    assert [name for name, hub in found.items() if hub] == ["a/c"]


def test_each_file_is_told_and_torch_is_silent(in_tmp: Path, monkeypatch, capfd, recwarn) -> None:
    def save(program: object, path: Path) -> None:
        warnings.warn("No complete tensor found in the group! Returning the first one.", stacklevel=2)
        path.touch()

    monkeypatch.setattr(torch.export, "save", save)
    monkeypatch.setattr(exporting, "compare_alone", lambda programs, *_: {path.name: 0.0 for path in programs})
    train(in_tmp / "run", "model.conditional=true", model="mlp", rounds=1)
    out = in_tmp / "run" / "exported"
    assert main(["export", f"run={in_tmp / 'run'}", "format=torch"]) == 0
    told = [
        line for line in capfd.readouterr().out.splitlines() if line.startswith(("writing", "tracing", "comparing"))
    ]
    assert told == [
        "tracing generator",
        f"writing {out / 'generator.pt2'}",
        "comparing generator.pt2 with the run, in a Python without gantool",
    ]
    assert not [one for one in recwarn if "No complete tensor" in str(one.message)]
