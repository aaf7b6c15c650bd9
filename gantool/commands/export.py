"""gantool export: a run's generators as a snapshot, ONNX and a torch.export program, each compared with the run."""

import logging
from typing import Literal

from gantool.config.options import OneRun, key
from gantool.errors import GantoolError, require

log = logging.getLogger(__name__)


class Options(OneRun):
    """Writes a trained run's generators as files that others can use.

    Inputs are z (N, latent dim) and, of a conditional run, labels (N,) int64; the output is images (N, C, H, W) float32
    in [-1, 1]. N can be any number. A translation run has a file for each direction; its input, source, is images. ONNX
    and .pt2 files need no gantool; with pix2pix, whose noise is dropout, they always give the same image.
    If labels are vectors, the snapshot holds those of 64 training images, to sample labels from.
    Results go to RUN_FOLDER/exported unless out=FOLDER says otherwise; each file's images are compared with the run's
    before it is kept.
    """

    format: Literal["all", "snapshot", "onnx", "torch", "hub"] = key(
        "all",
        "snapshot (safetensors, config and model card: gantool.load(PATH) makes images), onnx, torch (.pt2), all; hub: "
        "a folder of snapshot and model card to be uploaded to the Hugging Face Hub",
    )
    license: str | None = key(None, "of the weights, for the model card, by the Hub's names: cc-by-4.0, mit, ...")


def export(options: Options) -> None:
    """Raises GantoolError for the user's mistakes, and where a file's images are more than TOLERANCE off."""
    import torch

    from gantool.files import write_json
    from gantool.runs.exporting import BATCHES, TOLERANCE, write_formats
    from gantool.runs.output import output
    from gantool.runs.trained import opened

    hub = options.format == "hub"
    several = {"all": ("snapshot", "onnx", "torch"), "hub": ("snapshot",)}
    formats = several.get(options.format, (options.format,))
    if "onnx" in formats:
        require("export", "onnxscript", "onnxruntime", what="format=onnx")
    if options.license is not None and "snapshot" not in formats:
        raise GantoolError(f"license={options.license} is for the model card of a snapshot: leave it out")
    run = opened(options, "cpu")
    about = {"run": str(run.folder), "nimg": run.nimg, "ema": options.ema, "tolerance": TOLERANCE}
    with output(run.folder, "hub" if hub else "exported", "", options.out) as out:
        differences = write_formats(run, formats, out, license=options.license, alone=hub)
        wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
        sound = {name: value for name, value in differences.items() if name not in wrong}
        for name in wrong:
            (out / name).unlink()
        about |= {"largest_difference": sound, "batch_sizes": BATCHES, "torch": str(torch.__version__)}
        if not hub:
            write_json(about, out / "export.json")
    for name, value in sound.items():
        log.info("%s  differs from the run by at most %.1e", out / name, value)
    if hub and not wrong:
        log.info("hf upload USER/MODEL %s  puts it on the Hub; gantool.load('USER/MODEL') takes it from there", out)
    if wrong:
        listed = ", ".join(f"{name} by {value:.2g}" for name, value in wrong.items())
        raise GantoolError(f"not exported, as images differ from the run's: {listed} of 2; try another format=")
