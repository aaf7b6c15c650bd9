"""A run's generators as a snapshot, ONNX and a torch.export program, each compared with the run."""

import copy
import io
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gantool.errors import GantoolError, first_line
from gantool.files import whole, write_whole
from gantool.networks.translators import Dropout
from gantool.randomness import seed_torch
from gantool.runs.card import write_card
from gantool.runs.hub import NAME
from gantool.runs.snapshot import FromLatent, callables, load, save_snapshot
from gantool.runs.trained import TrainedRun

log = logging.getLogger(__name__)

TOLERANCE = 1 / 1275  # a tenth of a grey level of 256
BATCHES = (1, 2, 5)  # sizes that every format is tried with; programs are traced with TRACED
TRACED = 3

# Runs in a Python that cannot find gantool: prints, for each program, the largest difference from what the run makes.
ALONE = """
import json, sys
sys.modules["gantool"] = None  # importing it now fails
import numpy as np
differences = {}
for path in sys.argv[2:]:
    with np.load(sys.argv[1] + "/" + path.rpartition("/")[2].rpartition(".")[0] + ".npz") as arrays:
        cases = json.loads(str(arrays["cases"]))
        if path.endswith(".onnx"):
            import onnxruntime
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            made = [session.run(None, {k: arrays[v] for k, v in case["inputs"].items()})[0] for case in cases]
        else:
            import torch
            program = torch.export.load(path).module()
            made = [program(*(torch.from_numpy(arrays[v]) for v in case["inputs"].values())).numpy() for case in cases]
        differences[path] = float(np.max([np.abs(m - arrays[c["output"]]).max() for m, c in zip(made, cases)]))
print(json.dumps(differences))
"""


@torch.no_grad()
def write_formats(
    run: TrainedRun, formats: tuple[str, ...], out: Path, *, license: str | None = None, alone: bool = False
) -> dict[str, float]:
    """Writes the files, beside a snapshot its model card and, unless it is to be `alone`, the configuration; gives the
    largest differences of their images from the run's, by file name.

    Batch norm has standing statistics where the run is scored with these.
    """
    run = run.as_scored()
    live = {name: silent(module) for name, module in callables(run).items()}
    cases = {name: [_inputs(run, module, size) for size in BATCHES] for name, module in live.items()}
    expected = {name: [module(*case.values()) for case in cases[name]] for name, module in live.items()}
    differences: dict[str, float] = {}
    if "snapshot" in formats:
        log.info("writing %s", out / NAME)
        save_snapshot(out / NAME, run)
        write_card(out, run, license)
        if not alone:
            config = run.config.model_dump(by_alias=True, exclude_unset=True)
            write_whole(out / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
        for name in live:  # trusted: it is this run's own configuration
            loaded = silent(load(out / NAME, name, trust=True))
            pairs = zip(cases[name], expected[name], strict=True)
            worst = [float((loaded(*case.values()) - images).abs().max()) for case, images in pairs]
            differences[NAME] = float(np.max([differences.get(NAME, 0.0), *worst]))  # which keeps a NaN
    programs: list[Path] = []
    for name, module in live.items() if formats != ("snapshot",) else ():
        inputs = _inputs(run, module, TRACED)
        log.info("tracing %s", name)
        program = trace(module, inputs)
        if "onnx" in formats:
            programs.append(out / f"{name}.onnx")
            log.info("writing %s", programs[-1])
            save_onnx(program, list(inputs), programs[-1], {"gantool_run": run.folder.name, "nimg": str(run.nimg)})
        if "torch" in formats:
            programs.append(out / f"{name}.pt2")
            log.info("writing %s", programs[-1])
            with whole(programs[-1]) as partial, warnings.catch_warnings():
                # Of weights that are parts of others, where those are not on the CPU: here they are.
                warnings.filterwarnings("ignore", "No complete tensor found in the group", UserWarning)
                torch.export.save(program, partial)
    if programs:
        log.info("comparing %s with the run, in a Python without gantool", ", ".join(path.name for path in programs))
    return differences | compare_alone(programs, cases, expected, out)


def _inputs(run: TrainedRun, module: nn.Module, size: int) -> dict[str, Tensor]:
    """A batch as the generator takes it: {"z", "labels"} of latents as they are drawn in training, or {"source"}."""
    seed_torch("export", size)
    if not isinstance(module, FromLatent):
        return {"source": torch.rand(size, *run.shape) * 2 - 1}
    z = module.latents(size)
    labels = module.labelled.in_turn(size)
    return {"z": z} if labels is None else {"z": z, "labels": labels}


def silent(module: nn.Module) -> nn.Module:
    """The module itself, or a copy without the dropout that sampling has too (pix2pix): a program makes one image."""
    if not any(isinstance(part, Dropout) for part in module.modules()):
        return module
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, part in parent.named_children():
            if isinstance(part, Dropout):
                setattr(parent, name, nn.Identity())
    return module


def plain_copy(module: nn.Module) -> nn.Module:
    """A copy that can be traced: spectral norm's weights as they are now, and a growing network at its stage."""
    module = copy.deepcopy(module)
    for part in list(module.modules()):
        if parametrize.is_parametrized(part):
            # By hand: torch's removal takes the weight away from the class, which the original shares with its copy.
            names = [name for name, _ in part.get_submodule("parametrizations").named_children()]
            values = {name: getattr(part, name).detach() for name in names}
            part.__class__ = type(part).__bases__[0]
            del part.parametrizations
            for name, value in values.items():
                part.register_parameter(name, nn.Parameter(value, requires_grad=False))
        stage = part._buffers.pop("stage", None)
        if stage is not None:  # a number in Python's hands chooses the blocks; a tensor's value is unknown when traced
            part.__dict__["stage"] = float(stage)
    return module


def trace(module: nn.Module, inputs: dict[str, Tensor]) -> torch.export.ExportedProgram:
    """The module as torch.export sees it, with a batch of any size."""
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in inputs)
    try:
        return torch.export.export(plain_copy(module), tuple(inputs.values()), dynamic_shapes=shapes)
    except Exception as error:
        reason = first_line(error)
        raise GantoolError(f"torch.export cannot trace {type(module).__name__}: {reason}") from error


def save_onnx(program: torch.export.ExportedProgram, inputs: list[str], path: Path, about: dict[str, str]) -> None:
    """An ONNX model with `inputs` by name, the output "images", and a batch of any size."""
    for chatty in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        model = torch.onnx.export(program, input_names=inputs, output_names=["images"], verbose=False)
    assert model is not None
    model.model.metadata_props.update(about)
    with whole(path) as partial:
        model.save(partial)


def compare_alone(
    programs: list[Path], cases: dict[str, list[dict[str, Tensor]]], expected: dict[str, list[Tensor]], out: Path
) -> dict[str, float]:
    """Runs the programs in a Python that has no gantool; the largest difference from `expected` by file name."""
    if not programs:
        return {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in {path.stem for path in programs}:
            arrays: dict[str, Any] = {}
            listed = []
            for i, (case, images) in enumerate(zip(cases[name], expected[name], strict=True)):
                arrays |= {f"{key}{i}": value.numpy() for key, value in case.items()} | {f"images-{i}": images.numpy()}
                listed.append({"inputs": {key: f"{key}{i}" for key in case}, "output": f"images-{i}"})
            np.savez(f"{scratch}/{name}.npz", cases=json.dumps(listed), **arrays)
        command = [sys.executable, "-I", "-c", ALONE, scratch, *map(str, programs)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        for path in programs:  # nobody has compared them
            path.unlink(missing_ok=True)
        told = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()]  # one that is killed says nothing
        raise GantoolError(f"{out}: an exported program does not run without gantool: {told[-1]}")
    return {Path(path).name: value for path, value in json.loads(done.stdout.splitlines()[-1]).items()}
