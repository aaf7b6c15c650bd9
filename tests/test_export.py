"""gantool export: every model in every format makes what the run makes, with any batch; and what load refuses."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import gantool
from composing import typed
from extent import thorough
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.games.cyclegan import CycleGAN
from gantool.runs import exporting
from gantool.runs.build import build_game
from gantool.runs.snapshot import callables, save_snapshot
from gantool.runs.trained import TrainedRun, load_run
from runs import TRANSLATORS, newest, train

CASES = {
    "dcgan": ["model.conditional=true", "model.generator.norm=spectral"],
    "resnet": ["model.conditional=true", "loss=hinge"],
    "infogan": [],
    "infogan-mnist": [],
    "progan": [],
    "biggan": ["model.conditional=true"],
    "r3gan": [],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("exported") / "run"
    train(run, "model.conditional=true", "optimizer.lr=0.01", model="mlp", rounds=2)
    return run


@pytest.fixture
def run(trained: Path, in_tmp: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained, in_tmp / "run"))


@thorough
@pytest.mark.parametrize("model", CASES)
def test_every_model_is_traced(in_tmp: Path, model: str) -> None:
    rounds = 4 if model == "progan" else 2
    train(in_tmp / "run", *CASES[model], "model.latent.dim=20", "optimizer.lr=0.01", model=model, rounds=rounds)
    run = load_run(str(in_tmp / "run"), device="cpu")
    (module,) = callables(run).values()
    traced = exporting._inputs(run, module, 3)
    program = exporting.trace(module, traced)
    torch.export.save(program, in_tmp / "generator.pt2")
    exporting.save_onnx(program, list(traced), in_tmp / "generator.onnx", {})
    again = torch.export.load(in_tmp / "generator.pt2").module()
    session = onnxruntime.InferenceSession("generator.onnx")
    for size in (1, 4):
        inputs = exporting._inputs(run, module, size)
        with torch.no_grad():
            expected = run.game.generate(inputs["z"], inputs.get("labels"), run.generators)  # type: ignore[operator]
            assert (again(*inputs.values()) - expected).abs().max() < 1e-5
        assert expected.shape == (size, 1, 32, 32) and expected.std() > 1e-4
        made = session.run(["images"], {name: value.numpy() for name, value in inputs.items()})[0]
        assert np.abs(made - expected.numpy()).max() < exporting.TOLERANCE  # type: ignore[operator]


@thorough
def test_every_format_without_gantool_and_the_snapshot_in_two_lines(run: Path) -> None:
    assert main(["export", f"run={run}"]) == 0
    out = run / "exported"
    names = {"config.yaml", "export.json", "generator.onnx", "generator.pt2", "snapshot.safetensors"}
    assert {path.name for path in out.iterdir()} == names | {"README.md", "samples.png"}
    about = json.loads((out / "export.json").read_text())
    assert set(about["largest_difference"]) == names - {"config.yaml", "export.json"}
    assert max(about["largest_difference"].values()) < 1e-5 and about["nimg"] == newest(run)["progress"]["nimg"] == 16
    assert (out / "config.yaml").read_text().count("gantool.networks.mlp.Generator") == 1

    labels = torch.tensor([3, 1, 4])
    generator = gantool.load(out)
    z, trained = generator.latents(3), load_run(str(run), device="cpu")
    expected = trained.game.generate(z, labels, trained.generators)  # type: ignore[operator]
    assert torch.equal(generator(z, labels), expected)
    assert torch.equal(generator.sample(4, seed=1), generator.sample(4, seed=1))
    assert not torch.equal(generator.sample(4, seed=1), generator.sample(4, seed=2))
    with pytest.raises(GantoolError, match="conditional: give it labels"):
        generator(z)
    with safe_open(out / "snapshot.safetensors", "pt") as file:
        assert file.metadata()["nimg"] == "16" and set(file.keys()) == set(newest(run)["ema"])
        assert "/" not in file.metadata()["config"], "a path of this machine is nobody else's business"


@thorough
def test_a_file_that_makes_other_images_is_refused(run: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    def off(module: nn.Module) -> nn.Module:
        module.network.layers[0].bias.data += 0.1  # type: ignore[union-attr,index]
        return module

    monkeypatch.setattr(exporting, "plain_copy", off)
    assert main(["export", f"run={run}", "format=torch"]) == 1
    error = capfd.readouterr().err
    assert "generator.pt2 by" in error and "not exported" in error and len(error.splitlines()) == 1
    assert not (run / "exported" / "generator.pt2").exists()


@thorough
def test_a_program_that_needs_gantool_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "generator.pt2").write_text("no program")
    case = {"generator": [{"z": torch.zeros(1, 2)}]}
    with pytest.raises(GantoolError, match="does not run without gantool"):
        exporting.compare_alone([tmp_path / "generator.pt2"], case, {"generator": [torch.zeros(1)]}, tmp_path)
    assert not (tmp_path / "generator.pt2").exists(), "nobody has compared it"
    script = exporting.ALONE.split("differences")[0] + "import gantool"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr


@thorough
@pytest.mark.parametrize("model", TRANSLATORS)
def test_a_run_that_translates_in_every_format(in_tmp: Path, model: str) -> None:
    train(in_tmp / "run", "optimizer.lr=0.01", model=model, rounds=1)
    run = load_run(str(in_tmp / "run"), device="cpu")
    for name, module in callables(run).items():
        assert (exporting.silent(module) is module) == (model == "cyclegan"), "pix2pix has dropout when sampling too"
        module, loaded = exporting.silent(module), exporting.silent(gantool_loaded(run, name))
        assert all(map(torch.equal, loaded.state_dict().values(), module.state_dict().values()))
        images = torch.rand(1, 3, 32, 32)
        assert (loaded(images) - module(images)).abs().max() < 1e-5, "the run's is in channels_last"
        program = exporting.trace(module, exporting._inputs(run, module, 3))
        exporting.save_onnx(program, ["source"], in_tmp / f"{name}.onnx", {})
        source = exporting._inputs(run, module, 2)["source"]
        expected = module(source)
        (made,) = onnxruntime.InferenceSession(f"{name}.onnx").run(["images"], {"source": source.numpy()})
        assert (program.module()(source) - expected).abs().max() < 1e-5 and expected.std() > 1e-4
        assert np.abs(made - expected.numpy()).max() < 1e-4  # type: ignore[operator]


def gantool_loaded(run: TrainedRun, name: str) -> nn.Module:
    """A generator of `run` by way of a snapshot."""
    save_snapshot(run.folder / "a.safetensors", run)
    return gantool.load(run.folder / "a.safetensors", name)


def test_generators_that_translate_take_images(tmp_path: Path, monkeypatch) -> None:
    words = ["model.generator.width=2", "model.discriminator.depth=2", "dataset.resolution=16", "dataset.channels=1"]
    config = typed("model=cyclegan", *words, "dataset.root=/home/me")
    game = build_game(config).eval().requires_grad_(False)
    assert isinstance(game, CycleGAN)
    run = TrainedRun(tmp_path, config, game, game.generators, True, 64, torch.device("cpu"))
    monkeypatch.setattr(exporting, "compare_alone", lambda programs, *_: {path.name: 0.0 for path in programs})
    with torch.no_grad():
        differences = exporting.write_formats(run, ("snapshot", "torch"), tmp_path)
    assert set(differences) == {"snapshot.safetensors", "a2b.pt2", "b2a.pt2"} and max(differences.values()) < 1e-6
    program = torch.export.load(tmp_path / "a2b.pt2").module()
    assert (program(torch.ones(5, 1, 16, 16)) - game.generators["a2b"](torch.ones(5, 1, 16, 16))).abs().max() < 1e-5
    images = torch.rand(3, 1, 16, 16)
    assert torch.equal(gantool.load(tmp_path, "b2a")(images), game.generators["b2a"](images))
    with pytest.raises(GantoolError, match="a2b, b2a.*chooses one"):
        gantool.load(tmp_path)
    (tmp_path / "broken").mkdir()
    with torch.no_grad():
        next(run.generators["a2b"].parameters()).fill_(math.nan)
        assert math.isnan(exporting.write_formats(run, ("snapshot",), tmp_path / "broken")["snapshot.safetensors"])


def rewritten(path: Path, change: Callable[[dict], object]) -> None:
    """A snapshot whose configuration somebody edited."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["config"])
    change(config["parts"])
    save_file(load_file(path), path, {**metadata, "config": json.dumps(config)})


def test_a_strangers_snapshot_does_not_read_this_machine(run: Path) -> None:
    path = run / "a.safetensors"
    save_snapshot(path, load_run(str(run), device="cpu"))
    rewritten(path, lambda parts: parts["latent"].update(name="${oc.env:HOME}"))
    with pytest.raises(GantoolError, match="oc.env:HOME.*trust=true"):
        gantool.load(path)


def test_labels_that_a_generator_cannot_be_asked_for(run: Path, in_tmp: Path) -> None:
    train(in_tmp / "plain", model="mlp", rounds=1)
    for folder in (run, in_tmp / "plain"):
        opened = load_run(str(folder), device="cpu")
        save_snapshot(folder / "a.safetensors", opened)
        wrong = [torch.arange(3), torch.tensor([0, 10]), torch.zeros(2)] if folder == run else [torch.arange(2)]
        for generator in (opened, gantool.load(folder / "a.safetensors")):
            for labels in wrong:
                with pytest.raises(GantoolError, match="^labels: "):
                    generator.sample(2, labels=labels)


@pytest.mark.parametrize("alone", ["import os; os.kill(os.getpid(), 9)", "raise SystemExit(3)"])
def test_a_program_that_dies_without_a_word(tmp_path: Path, monkeypatch, alone: str) -> None:
    monkeypatch.setattr(exporting, "ALONE", alone)
    with pytest.raises(GantoolError, match="does not run without gantool: exit code (-9|3)"):
        exporting.compare_alone([tmp_path / "a.pt2"], {"a": []}, {"a": []}, tmp_path)


def test_what_is_no_snapshot(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = run / "a.safetensors"
    with pytest.raises(GantoolError, match="not a readable snapshot"):
        gantool.load(path)
    with pytest.raises(GantoolError, match=r"is a run, not a snapshot: gantool.load_run opens it, and gantool export"):
        gantool.load(run)
    none, old = "gantool export run=FOLDER makes one", "was written by gantool 0.1: .* export the run anew"
    for metadata, message in (
        ({}, none),
        ({"format": "gantool snapshot 2"}, none),
        ({"format": "gantool snapshot 2", "config": "[1]"}, none),
        ({"format": "gantool snapshot 1", "config": "{}"}, old),
    ):
        save_file({"weight": torch.zeros(2)}, path, metadata)
        with pytest.raises(GantoolError, match=message):
            gantool.load(path)
    opened = load_run(str(run), device="cpu")
    save_snapshot(path, opened)
    for made in (opened, gantool.load(path)):
        with pytest.raises(GantoolError, match="=0: should be 1 or more"):
            made.sample(0)
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"\0\0\0\0")
    with pytest.raises(GantoolError, match="is damaged"):
        gantool.load(path)
    path.write_bytes(content)
    rewritten(path, lambda parts: parts["generator"].update(hidden=[16, 17]))
    with pytest.raises(GantoolError, match="does not fit gantool"):
        gantool.load(path)
    assert main(["export", f"run={run}", "format=tflite"]) == 1
    assert "format=tflite: should be 'all', 'snapshot', 'onnx', 'torch' or 'hub'" in capfd.readouterr().err
    assert not (run / "exported").exists()
