"""The contracts of the design on a GPU: what trains there resumes bit for bit, and is what the CPU trains."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gantool
from gantool.cli.main import main
from gantool.networks.dcgan import Discriminator
from gantool.training.hardware import exact_float32
from runs import Composed, choices, newest, same, same_training, train
from test_graphs import CASES as GRAPHS

# Reflection padding and the bilinear sampler of ADA have no deterministic backward pass on CUDA.
NONDETERMINISTIC = ("cyclegan",)
PARTS = [
    "loss=wgan-gp",
    "loss=r3gan augment=diffaugment",
    "loss=hinge model.generator.attention=16 model.conditional=true",
    "trainer.precision=fp16",
    "trainer.precision=fp16 loss=wgan-gp",
    "trainer.precision=fp32 regularizer=[r1,lecam] model.discriminator.norm=none",
    "optimizer=sgd loss=lsgan trainer.microbatch=3",
    "auxiliary=feature-matching optimizer.warmup=3it",
    "dataset.device_resident=false dataset.flip=true",
    "trainer.tf32=true trainer.precision=fp32 loss=wgan-gp",
]


@pytest.mark.parametrize("model", [model for model in choices("model") if model not in NONDETERMINISTIC])
def test_every_model_resumes_exactly(in_tmp: Path, model: str) -> None:
    words = ["trainer.device=cuda", "trainer.deterministic=true", "trainer.precision=auto"]
    run = Composed(in_tmp, *words, model=model)
    whole = run.train("whole")
    if model != "progan":  # it grows by fractions of the run
        run.train("parts", rounds=2)
    assert same_training(whole, run.train("parts"))
    assert all(value.isfinite().all() for value in whole["game"].values())


@pytest.mark.parametrize("part", PARTS)
def test_every_kind_of_update_resumes_exactly(in_tmp: Path, part: str) -> None:
    run = Composed(in_tmp, "trainer.device=cuda", "trainer.deterministic=true", *part.split())
    whole = run.train("whole")
    run.train("parts", rounds=2)
    assert same_training(whole, run.train("parts"))


def test_float32_is_float32() -> None:
    """Convolutions and penalties against float64 on the CPU; by TF32 they would be off by about 1e-3."""
    exact_float32()
    torch.manual_seed(0)
    images, network = (
        torch.randn(8, 3, 32, 32, dtype=torch.float64),
        Discriminator(resolution=32, channels=3, norm="none"),
    )
    found = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        network, x = network.to(device, dtype), images.to(device, dtype).requires_grad_()
        [slope] = torch.autograd.grad(network.layers(x).sum(), x, create_graph=True)
        weights = torch.autograd.grad(slope.square().sum(), list(network.layers.parameters()), allow_unused=True)
        found.append([g.detach().cpu().double() for g in (slope, *weights) if g is not None])
    for want, got in zip(*found, strict=True):
        assert (got - want).norm() <= 1e-5 * want.norm()


def test_images_that_are_read_ahead_are_those_of_the_device(in_tmp: Path) -> None:
    words = ["trainer.device=cuda", "trainer.deterministic=true", "dataset.flip=true", "loss=wgan-gp"]
    runs = [train(in_tmp / home, *words, f"dataset.device_resident={home}") for home in ("true", "false")]
    assert same_training(*runs)


def test_tf32_is_what_training_rounds_to_and_scores_do_not(in_tmp: Path) -> None:
    words = ["trainer.device=cuda", "trainer.precision=fp32", "trainer.deterministic=true", "loss=wgan-gp"]
    exact, rounded = (train(in_tmp / tf32, *words, f"trainer.tf32={tf32}", rounds=1) for tf32 in ("false", "true"))
    moments = [run["optimizers"]["discriminator"]["state"] for run in (exact, rounded)]
    off = [
        (a["exp_avg"] - b["exp_avg"]).norm() / a["exp_avg"].norm()
        for a, b in zip(*map(dict.values, moments), strict=True)
    ]
    assert 0 < max(off) < 1e-1 and rounded["numerics"]["precision"] == "fp32 tf32"
    exact_float32()


def test_a_run_goes_from_gpu_to_cpu_and_its_samples_agree(in_tmp: Path) -> None:
    train(in_tmp / "run", "trainer.device=cuda")
    run = gantool.load_run(str(in_tmp / "run"))
    assert run.sample(4, seed=1).shape == (4, 1, 32, 32)
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.device=cpu", "trainer.duration=6it"]) == 0


def test_samples_of_the_gpu_are_the_same_each_time(in_tmp: Path) -> None:
    train(in_tmp / "run", "trainer.device=cuda", model="biggan")
    for name in ("a", "b"):
        assert main(["sample", f"run={in_tmp / 'run'}", "num=8", f"out={in_tmp / name}", "format=npz"]) == 0
    a, b = (np.load(next((in_tmp / name).glob("*.npz"))) for name in ("a", "b"))
    assert all((a[key] == b[key]).all() for key in a.files)


def test_scores_of_the_gpu_are_those_of_the_cpu(in_tmp: Path) -> None:
    train(in_tmp / "run", "trainer.device=cuda")
    found = []
    for device in ("cpu", "cuda"):
        words = [f"run={in_tmp / 'run'}", "num=200", "score=[fd]", "features=digits", f"out={in_tmp / device}"]
        assert main(["evaluate", *words, f"device={device}"]) == 0
        found.append(json.loads((in_tmp / device / "results.json").read_text())[0]["scores"]["fd_digits"])
    assert abs(found[0] - found[1]) <= 1e-3 * found[0], found


def test_too_large_a_batch_is_one_line(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["train", "trainer.device=cuda", "trainer.batch_size=10000000", "trainer.duration=1it", "score=none"]
    assert main([*words, f"hydra.run.dir={in_tmp / 'run'}"]) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "memory" in error[0], error


def test_compiled_networks_train(in_tmp: Path) -> None:
    """The C++ and Triton compilers, which the CPU's tests leave out; the penalty stays in."""
    words = ["trainer.device=cuda", "trainer.precision=fp32", "loss=wgan-gp"]
    eager = train(in_tmp / "eager", *words, model="mlp", rounds=1)
    compiled = train(in_tmp / "compiled", *words, "trainer.compile=true", model="mlp", rounds=1)
    for name, moments in eager["optimizers"]["discriminator"]["state"].items():
        other = compiled["optimizers"]["discriminator"]["state"][name]["exp_avg"]
        assert (other - moments["exp_avg"]).norm() <= 1e-2 * moments["exp_avg"].norm() + 1e-8, name


@pytest.mark.parametrize(("model", "words"), GRAPHS)
def test_graphs_train_what_eager_mode_trains(in_tmp: Path, model: str, words: str) -> None:
    """As on the CPU (tests/test_graphs.py), where a capture of the tests' own takes the place of CUDA's."""
    exact = not re.search("augment=(ada|r3gan)", words)  # whose sampler has no deterministic backward pass on CUDA
    how = ["trainer.device=cuda", f"trainer.deterministic={str(exact).lower()}", "trainer.log_every=1it"]
    run = Composed(in_tmp, *how, *words.split(), model=model)
    eager = run.train("eager", rounds=7)
    run.cfg.trainer.compile = "graphs"
    graphs = run.train("graphs", rounds=7)
    for name, value in eager["game"].items():
        assert exact or (graphs["game"][name] - value).norm() <= 1e-2 * value.norm() + 1e-4, name
    assert not exact or (same_training(eager, graphs) and same(eager["measured"], graphs["measured"]))


def test_a_run_with_cuda_graphs_resumes(in_tmp: Path) -> None:
    run = Composed(in_tmp, "trainer.device=cuda", "trainer.deterministic=true", "trainer.compile=graphs", "loss=hinge")
    whole = run.train("whole", rounds=7)
    run.train("parts", rounds=4)
    assert same_training(whole, run.train("parts", rounds=7))


@pytest.mark.parametrize(("ranks", "mode"), [(1, "data"), (2, "data"), (2, "sharded")])
def test_ranks_train_with_nccl_what_one_process_trains(in_tmp: Path, ranks: int, mode: str) -> None:
    if torch.cuda.device_count() < ranks:
        pytest.skip(f"needs {ranks} CUDA devices")
    words = ["trainer.duration=8it", "score=none", "trainer.precision=fp32", "model.generator.norm=layer"]
    words += ["loss=wgan-gp", "trainer.batch_size=16", "optimizer.lr=2e-4"]
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--standalone", "-m"]
    command += ["gantool", "train", *words, f"hydra.run.dir={in_tmp / 'ranks'}", f"trainer.parallel={mode}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert main(["train", *words, f"hydra.run.dir={in_tmp / 'one'}"]) == 0
    one, several = (newest(in_tmp / name)["game"] for name in ("one", "ranks"))
    for name, value in one.items():
        assert (several[name] - value).norm() <= 1e-2 * value.norm() + 1e-4, name


@pytest.mark.parametrize("loss", ["wgan-gp", "r3gan"])
def test_players_on_two_gpus_train_as_on_one(in_tmp: Path, loss: str) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs 2 CUDA devices")
    words = ["trainer.device=cuda", "trainer.deterministic=true", f"loss={loss}", "model.generator.norm=layer"]
    one = train(in_tmp / "one", *words)
    assert same_training(one, train(in_tmp / "two", *words, "trainer.parallel=players"))


@pytest.mark.parametrize("model", choices("model"))
def test_a_round_waits_for_the_gpu_at_most_once(in_tmp: Path, model: str, recwarn: pytest.WarningsRecorder) -> None:
    """torch says where the host waits for the device; between the looks at what was measured it should not."""
    words = ["trainer.device=cuda", "monitor=none", "trainer.log_every=1Mimg", "trainer.watchdog.action=off"]
    run = Composed(in_tmp, *words, model=model)
    counts = []
    for rounds in (4, 12):
        recwarn.clear()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run.train(f"{rounds}", rounds=rounds)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        found = [w for w in recwarn.list if "synchroniz" in str(w.message)]
        counts.append(len(found))
    where = sorted({f"{w.filename}:{w.lineno}" for w in recwarn.list if "synchroniz" in str(w.message)})
    assert (counts[1] - counts[0]) / 8 <= 1, where
