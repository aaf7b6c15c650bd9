"""gantool export: a run's generators as a snapshot, ONNX and a torch.export program, each compared with the run."""

import json
import logging
from typing import Literal

from gantool.config.options import OneRun, key
from gantool.errors import GantoolError, require

log = logging.getLogger(__name__)


class Options(OneRun):
    """Writes a trained run's generators as files that others can use.

    Inputs are z (N, latent dim) and, of a conditional run, labels (N,) int64; the output is images (N, C, H, W) float32
    in [-1, 1]. N is free. A run that translates has a file for each direction, with the input source, images too. ONNX
    and .pt2 files need no gantool, and make the same image again where pix2pix has dropout for noise.
    Results go to RUN_FOLDER/exported unless out=FOLDER says otherwise; each is compared with the run before it is
    called good.
    """

    format: Literal["all", "snapshot", "onnx", "torch"] = key(
        "all", "snapshot (safetensors and config: gantool.load(PATH) makes images), onnx, torch (.pt2), all"
    )


def export(options: Options) -> None:
    """Raises GantoolError for the user's mistakes, and where a file's images are more than TOLERANCE off."""
    import torch

    from gantool.files import write_whole
    from gantool.runs.exporting import BATCHES, TOLERANCE, write_formats
    from gantool.runs.output import output
    from gantool.runs.trained import load_run

    formats = ("snapshot", "onnx", "torch") if options.format == "all" else (options.format,)
    if "onnx" in formats:
        require("export", "onnxscript", "onnxruntime", what="format=onnx")
    run = load_run(options.run, ema=options.ema, device="cpu", checkpoint=options.checkpoint, trust=options.trust)
    about = {"run": str(run.folder), "nimg": run.nimg, "ema": options.ema, "tolerance": TOLERANCE}
    with output(run.folder, "exported", "", options.out) as out:
        differences = write_formats(run, formats, out)
        wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
        sound = {name: value for name, value in differences.items() if name not in wrong}
        for name in wrong:
            (out / name).unlink()
        about |= {"largest_difference": sound, "batch_sizes": BATCHES, "torch": str(torch.__version__)}
        write_whole(out / "export.json", json.dumps(about, indent=2) + "\n")
    for name, value in sound.items():
        log.info("%s  differs from the run by at most %.1e", out / name, value)
    if wrong:
        listed = ", ".join(f"{name} by {value:.2g}" for name, value in wrong.items())
        raise GantoolError(f"not exported, as their images are not the run's: {listed} of 2; try another format=")
