"""Shows that a refactoring changed no bit: records what small runs leave, in two trees, and compares the records.

    python tests/unchanged.py record here.json                 # in the changed tree
    git worktree add /tmp/before COMMIT; cp tests/{unchanged,presets}.py /tmp/before/tests/
    cd /tmp/before && PYTHONPATH=. python tests/unchanged.py record before.json
    python tests/unchanged.py compare before.json here.json    # exit code 1 where a record differs

Every model under two losses, every preset, resumed runs and two ranks: hashes of weights, averages, optimizers, and of
metrics.jsonl without its times. Hashes hold for one machine and one version of torch, so none are committed.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from gantool.cli.main import main
from presets import PRESETS, small_preset
from runs import CONF, choices, newest, small

SHARED = Path(os.environ.get("GANTOOL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
OTHER_LOSS = {"dcgan": "wgan-gp", "cyclegan": "wgan-gp", "pix2pix": "hinge"}
PARTS = {
    "everything": "augment=diffaugment regularizer=[l1,l2] optimizer.clip_norm=1 optimizer.warmup=3it "
    "dataset.flip=true dataset.shift=2 dataset.rotation=5 trainer.microbatch=3 model.generator.norm=layer "
    "model.discriminator.norm=layer",
    "ada": "augment=ada loss=hinge",
    "codes": "model=infogan auxiliary=invariant-information",
    "conditional": "model.conditional=true auxiliary=[acgan,feature-matching] model.discriminator.condition=none",
    "concat": "model.conditional=true model.discriminator.condition=concat",
    "rmsprop": "optimizer=rmsprop loss=wgan optimizer/schedule=cosine",
    "sgd": "optimizer=sgd model/latent=uniform optimizer.generator.lr=0.02",
    "adamw": "optimizer=adamw optimizer/schedule=step trainer.channels_last=false trainer.precision=bf16",
    "orthogonal": "loss=hinge regularizer=[orthogonal,r1] regularizer.r1.every=2",
    "dragan": "loss=lsgan regularizer=[dragan,drift] model.discriminator.norm=none",
}


def record() -> Iterator[tuple[str, dict[str, str]]]:
    """(case, hashes) of every case."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.chdir(root)
        for model in choices("model"):
            for name in ("own", OTHER_LOSS.get(model, "wgan-gp")):
                words = [] if name == "own" else [f"loss={name}"]
                yield f"{model} {name}", trained(small(root / f"{model}-{name}", *words, model=model))
        for name, text in PARTS.items():
            words = text.split()
            model = next((word.partition("=")[2] for word in words if word.startswith("model=")), "dcgan")
            yield f"parts {name}", trained(small(root / name, *words, model=model))
        for model in ("dcgan", "mlp", "cyclegan"):
            trained(small(root / f"resumed-{model}", model=model, rounds=2))
            yield f"resumed {model}", trained(small(root / f"resumed-{model}", model=model, rounds=4))
        yield "scored", trained(small(root / "scored", *scored(), "model.conditional=true", model="mlp"))
        for loss in ("wgan-gp", "hinge"):
            run = root / f"ranks-{loss}"
            ranks = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc-per-node=2",
                "--standalone",
                "-m",
                "gantool",
            ]
            subprocess.run([*ranks, *small(run, f"loss={loss}")], check=True, capture_output=True)
            yield f"ranks {loss}", hashes(run)
        for preset in PRESETS if SHARED.is_dir() else ():
            words = small_preset(preset, root / "preset" / preset, SHARED, root / "unpacked")
            yield f"experiment {preset}", trained(words)


def scored() -> list[str]:
    """Scores at every round, as this tree spells it."""
    if (CONF / "metrics").is_dir():
        return ["metrics=digits", "metrics.every=1it", "metrics.num_samples=60", "metrics.batch_size=30"]
    return ["score=[fd,is]", "monitor.scores.every=1it", "monitor.scores.num=60", "monitor.scores.batch_size=30"]


def trained(words: list[str]) -> dict[str, str]:
    """Runs a command line; what it left."""
    code = main(words)
    if code:
        return {"failed": f"exit code {code}"}
    return hashes(Path(next(word.partition("=")[2] for word in words if word.startswith("hydra.run.dir="))))


def hashes(run: Path) -> dict[str, str]:
    """Of a run's newest checkpoint and of its log."""
    state = newest(run)
    found = {part: digest(state[part]) for part in ("game", "ema", "optimizers")}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [{k: v for k, v in line.items() if k not in ("time", "protocol") and "speed/" not in k} for line in lines]
    return {**found, "metrics.jsonl": hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]}


def digest(value: object) -> str:
    """Of nested containers of tensors and plain values."""
    sha = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, torch.Tensor):
            sha.update(f"{value.dtype}{tuple(value.shape)}".encode())
            sha.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                sha.update(str(key).encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            for part in value:
                add(part)
        else:
            sha.update(repr(value).encode())

    add(value)
    return sha.hexdigest()[:16]


# What the second phase's rebuilding (gantool 0.1 to 0.2) was to change, and nothing else did. (Of metrics.jsonl the
# last digits too where n_critic is above 1, since sums are taken a round at a time.)
MEANT = {
    "experiment cifar10/r3gan": "trains at its authors' rate, 2e-4; it composed 4e-3. Its augmentation counts no signs",
    "parts sgd": "its default rate was 2e-3: at 1e-2 it was NaN under lsgan after 224 images",
    "scored": "metrics.jsonl: one scorer for training and evaluate, whose images are those of gantool sample",
}
# What the third phase was to change.
MEANT |= dict.fromkeys(
    ["resnet own", "experiment small/sngan", "experiment cifar10/sngan", "experiment cifar10/projection"],
    "the image's convolution starts with Glorot's gain of 1, as SNGAN's authors have it",
)
MEANT |= {"experiment celeba/sngan": "that gain, and SNGAN's own discriminator, which was BigGAN's"}
MEANT |= dict.fromkeys(
    ["resnet wgan-gp", "experiment cifar10/wgan-gp"], "that gain, and a critic that averages over its last map"
)
MEANT |= {f"experiment celeba/progan-{side}": "batches of its authors' one-GPU preset" for side in (64, 128, 256)}
MEANT |= dict.fromkeys(["infogan-mnist own", "infogan-mnist wgan-gp"], "a model that came later")
MEANT |= {"experiment mnist/infogan": "its authors' networks, noise and weights"}


def compare(before: Path, after: Path) -> int:
    """Prints every difference; 1 where there is one that was not meant."""
    old, new = (json.loads(path.read_text()) for path in (before, after))
    different = 0
    for case in {**old, **new}:
        parts = {**old.get(case, {}), **new.get(case, {})}
        if wrong := [part for part in parts if old.get(case, {}).get(part) != new.get(case, {}).get(part)]:
            different += case not in MEANT
            print(f"{case}: {', '.join(wrong)}" + (f" (meant: {MEANT[case]})" if case in MEANT else ""))
    print(f"{len(old)} cases before, {len(new)} now, {different} differ that were not meant to")
    return int(different > 0)


if __name__ == "__main__":
    verb, *files = sys.argv[1:]
    if verb == "compare":
        sys.exit(compare(*map(Path, files)))
    out = Path(files[0]).absolute()
    found: dict[str, dict[str, str]] = {}
    for case, result in record():
        found[case] = result
        print(case, result, flush=True)
        out.write_text(json.dumps(found, indent=1))
