"""A snapshot: the averaged generators of a run and the configuration that rebuilds them, in one safetensors file."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gantool import __version__
from gantool.batch import Draws
from gantool.config import build
from gantool.config.trust import OF_GENERATORS, check
from gantool.errors import GantoolError, did_you_mean, first_line, said
from gantool.files import whole
from gantool.games.gan import stage_of
from gantool.growth import Progressive
from gantool.latents import Latent
from gantool.randomness import forked, seed_torch
from gantool.runs.hub import find_snapshot
from gantool.runs.labelled import Asked, Labelled
from gantool.runs.trained import TrainedRun

FORMAT = "gantool snapshot 2"
_SHOWN = 64  # vectors of training images


class FromLatent(nn.Module):
    """A generator as its user calls it: latents, and labels if it is conditional, to images at the final resolution."""

    def __init__(self, network: nn.Module, latent: Latent, growth: Progressive | None, labelled: Labelled) -> None:
        super().__init__()
        self.network, self.latent, self.growth, self.labelled = network, latent, growth, labelled

    @property
    def class_names(self) -> list[str]:
        """Of the classes, or of the numbers in a vector; [] where nobody knows them."""
        return self.labelled.names

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent.dim) and (N,) int64, or (N, K) float32 where labels are vectors -> (N, C, H, W) float32 in
        [-1, 1]."""
        num = self.labelled.num
        if num and labels is None:
            kind = f"(N,) int64 in 0 to {num - 1}" if self.labelled.vectors is None else f"(N, {num}) float32"
            raise GantoolError(f"this generator is conditional: give it labels, {kind}")
        images = self.network(z, labels if num else None)
        return images if self.growth is None else self.growth.enlarge(images, float(stage_of(self.network)))

    def latents(self, count: int) -> Tensor:
        """(count, latent.dim) as they are drawn in training, from torch's random state."""
        return self.latent.sample(Draws(count, next(self.network.parameters()).device))

    @torch.no_grad()
    def sample(self, count: int, *, seed: int = 0, classes: Asked = None, labels: Tensor | Asked = None) -> Tensor:
        """(count, C, H, W) for latents drawn as in training; `classes`: names or numbers, taken in turn, or `labels` as
        `forward` takes them; None: all classes in turn."""
        if count < 1:
            raise GantoolError(f"count={count}: should be 1 or more")
        device = next(self.network.parameters()).device
        chosen = self.labelled.given(labels, count, "this generator", classes)
        with forked(device):
            seed_torch("snapshot", seed)
            return self(self.latents(count), None if chosen is None else chosen.to(device))


def shown_vectors(labelled: Labelled) -> Tensor | None:
    """The vectors of labels that a snapshot holds, those of real images: anyone who has it can read them."""
    return None if labelled.vectors is None else labelled.vectors[:_SHOWN]


def callables(run: TrainedRun) -> dict[str, nn.Module]:
    """A run's generators by name as their user calls them: from latents in a GAN, else from images (N, C, H, W).
    Raises GantoolError for a game of one's own."""
    if run.game.translates:
        return dict(run.generators.items())
    game = run.gan("export")
    return {"generator": FromLatent(run.generators["generator"], game.latent, game.growth, run.labelled)}


def save_snapshot(path: Path, run: TrainedRun) -> None:
    """Writes the weights with what rebuilds them: the generator, its latent and the images' shape, no path of this
    machine."""
    state = {name: value.detach().cpu().contiguous() for name, value in run.generators.state_dict().items()}
    model, channels = run.config.model.node, run.shape[0]
    parts = {name: model[name] for name in ("generator", "latent", "growth") if model.get(name)}
    shape = {"channels": channels, "resolution": run.config.dataset.resolution, "num_classes": run.labelled.num}
    vectors = shown_vectors(run.labelled)
    labels = {"names": run.labelled.names, "vectors": None if vectors is None else vectors.tolist()}
    metadata = {
        "format": FORMAT,
        "gantool": __version__,
        "config": json.dumps({"parts": parts, "names": list(run.generators), "shape": shape, "labels": labels}),
        "nimg": str(run.nimg),
        "kimg": f"{run.nimg / 1000:g}",
        "sha256": _sha256(state),
    }
    with whole(path) as partial:
        save_file(state, partial, metadata)


def load(path: str | Path, name: str | None = None, *, trust: bool = False) -> Any:
    """The generator in a snapshot, in eval mode on the CPU: `path` is the file, the folder that it lies in, or a model
    on the Hugging Face Hub, 'user/model'.

    `generator(z)`, or `generator(z, labels)` where it is conditional, gives (N, C, H, W) float32 in [-1, 1];
    `generator.sample(count, seed=0)` draws the latents too. Of a run that translates, `name` says which generator
    ("a2b"); it is called with images.

    Nothing in the file is executed or unpickled, but its configuration names the classes to build. Only classes of
    gantool's own models are built; `trust=True` also imports and calls whatever else the file names, which is as good
    as running its author's program: say it only of snapshots whose author you know. Raises GantoolError for a file that
    is not a snapshot, is damaged, or names other code.
    """
    path = find_snapshot(path)
    state, config, version = read_snapshot(path)
    if not trust:
        check(config["parts"], path, OF_GENERATORS)
    names = config["names"]
    name = name or (names[0] if len(names) == 1 else "")
    if name not in names:
        hint = did_you_mean(str(name), names)
        raise GantoolError(f"{path} holds the generators {', '.join(names)}{hint}: load(path, name) chooses one")
    own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    try:
        return _built(config, own).eval().requires_grad_(False)
    except Exception as error:  # numbers of a stranger's can make a network raise anything
        raise GantoolError(f"{path} (gantool {version}) does not fit gantool {__version__}: {said(error)}") from error


def _built(config: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
    """One generator with its weights, ready to be called."""
    parts, handed = config["parts"], dict(config["shape"])
    latent = build(parts["latent"], "latent", handed) if "latent" in parts else None
    if latent is not None:
        handed["latent_dim"] = latent.dim
    network = build({**parts["generator"], "_partial_": False}, "generator", handed)
    network.load_state_dict(state)
    if latent is None:
        return network
    growth = build(parts["growth"], "growth", handed) if "growth" in parts else None
    labels = config.get("labels", {})  # of an earlier version none
    vectors = None if labels.get("vectors") is None else torch.tensor(labels["vectors"])
    return FromLatent(network, latent, growth, Labelled(handed["num_classes"], labels.get("names", []), vectors))


def read_snapshot(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """The weights, the configuration (parts, names, shape), and the version of gantool that wrote them; raises
    GantoolError for a file that is none or is damaged. Nothing is built."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise GantoolError(f"{path} is not a readable snapshot ({first_line(error)})") from error
    made = metadata.get("format", "")
    if made == "gantool snapshot 1":
        raise GantoolError(f"{path} was written by gantool 0.1: load it with that version, or export the run anew")
    if made.startswith("gantool snapshot ") and made != FORMAT:
        raise GantoolError(f"{path} was written by a later version of gantool ({made}): load it with that one")
    config: Any = None
    with suppress(ValueError, RecursionError):
        config = json.loads(metadata.get("config", ""))
    if made != FORMAT or not _is_sound(config):
        raise GantoolError(f"{path} is not a snapshot of gantool: gantool export run=FOLDER makes one")
    if metadata.get("sha256") != _sha256(state):
        raise GantoolError(f"{path} is damaged: its weights do not have the checksum they were written with")
    return state, config, metadata.get("gantool", "of unknown version")


def _is_sound(config: Any) -> bool:
    match config:
        case {
            "parts": {"generator": {"_target_": _}} as parts,
            "names": [*names],
            "shape": {"channels": int(), "resolution": int() | [int(), int()], "num_classes": int()},
        }:
            nodes = [parts[name] for name in ("latent", "growth") if name in parts]
            named = all(isinstance(node, dict) and "_target_" in node for node in nodes)
            return named and all(isinstance(name, str) for name in names)
    return False


def _sha256(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
