"""Feature spaces by weights: random ones in the published layout, against the publishers' own steps; clear refusals."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import vgg16
from torchvision.transforms.functional import normalize

from extent import some
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.metrics.clip import CLIPFeatures
from gantool.metrics.dinov2 import DINOv2Features, on_grid
from gantool.metrics.features import Features
from gantool.metrics.scorer import Scorer
from gantool.metrics.scores import FrechetDistance, InceptionScore, Precision
from gantool.metrics.vgg import VGG16Features
from test_metrics_inception import Bomb

WEIGHTS = dict[str, Tensor]
IMAGES = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def drawn(**shapes: tuple[int, ...]) -> WEIGHTS:
    """Small random tensors, by names whose dots are spelt __."""
    generator = torch.Generator().manual_seed(1)
    return {
        name.replace("__", "."): 0.05 * torch.randn(shape, generator=generator) + (1.0 if "norm" in name else 0.0)
        for name, shape in shapes.items()
    }


def vit_s14() -> WEIGHTS:
    """Meta's layout of DINOv2 at 518 pixels, with two of the twelve blocks."""
    width = 384
    outer = {"cls_token": (1, 1, width), "mask_token": (1, width), "pos_embed": (1, 1 + 37 * 37, width)}
    outer |= {"patch_embed__proj__weight": (width, 3, 14, 14), "patch_embed__proj__bias": (width,)}
    outer |= {"norm__weight": (width,), "norm__bias": (width,)}
    for block in range(2):
        shapes = {"norm1": (width,), "norm2": (width,), "attn__qkv": (3 * width, width), "attn__proj": (width, width)}
        shapes |= {"mlp__fc1": (4 * width, width), "mlp__fc2": (width, 4 * width)}
        for name, shape in shapes.items():
            outer |= {f"blocks__{block}__{name}__weight": shape, f"blocks__{block}__{name}__bias": shape[:1]}
        outer |= {f"blocks__{block}__ls{part}__gamma": (width,) for part in (1, 2)}
    return drawn(**outer)


def vit_b32() -> WEIGHTS:
    """OpenAI's layout of CLIP's image network, text network left out but for one tensor; blocks share their tensors."""
    width = 768
    outer = {"visual__class_embedding": (width,), "visual__positional_embedding": (50, width)}
    outer |= {"visual__conv1__weight": (width, 3, 32, 32), "visual__proj": (width, 512), "logit_scale": ()}
    outer |= {f"visual__ln_{end}__{part}": (width,) for end in ("pre", "post") for part in ("weight", "bias")}
    made = drawn(**outer)
    block = {"attn__in_proj_weight": (3 * width, width), "attn__in_proj_bias": (3 * width,)}
    for name, shape in {"attn__out_proj": (width, width), "mlp__c_fc": (4 * width, width)}.items():
        block |= {f"{name}__weight": shape, f"{name}__bias": shape[:1]}
    block |= {"mlp__c_proj__weight": (width, 4 * width), "mlp__c_proj__bias": (width,)}
    block |= {f"ln_{half}__{part}": (width,) for half in (1, 2) for part in ("weight", "bias")}
    shared = drawn(**block)
    return made | {f"visual.transformer.resblocks.{i}.{name}": x for i in range(12) for name, x in shared.items()}


def vgg_16() -> WEIGHTS:
    """torchvision's layout; the large layers repeat a row, so that the file stays small."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in vgg16(weights=None).state_dict().items()}
    large = {name: (1, shape[1]) if len(shape) == 2 and shape[0] == 4096 else shape for name, shape in shapes.items()}
    made = drawn(**{name.replace(".", "__"): shape for name, shape in large.items()})
    for name, value in made.items():
        if value.dim() == 4:  # as large as what comes in
            value *= 20 * (2 / value[0].numel()) ** 0.5
        elif value.shape != shapes[name]:
            value.abs_()
    return {name: value.expand(shapes[name]) for name, value in made.items()}


SPACES: dict[str, tuple[type[Features], Callable[[], WEIGHTS]]] = {
    "dinov2": (DINOv2Features, vit_s14),
    "clip": (CLIPFeatures, vit_b32),
    "vgg16": (VGG16Features, vgg_16),
}


@pytest.fixture(scope="module", params=some(SPACES, 2))
def space(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Features, WEIGHTS]:
    """A space of random weights that were in a file, and the weights."""
    kind, make = SPACES[request.param]
    path, made = tmp_path_factory.mktemp("weights") / "random.pth", make()
    torch.save(made, path)
    features = kind(weights=path)  # type: ignore[call-arg]
    path.unlink()
    return features, made


def prepared(size: int, mean: list[float], std: list[float]) -> Tensor:
    """IMAGES as the publishers prepare them, each channel resized by PIL in floats."""
    channels = [
        [Image.fromarray(np.asarray(c, np.float32)).resize((size, size), Image.Resampling.BICUBIC) for c in image]
        for image in IMAGES.numpy()
    ]
    return normalize(torch.tensor(np.array(channels)).clamp(0, 255) / 255, mean, std)


def transformed(x: Tensor, of: WEIGHTS, blocks: str, gelu: Callable[[Tensor], Tensor], eps: float) -> Tensor:
    """(N, tokens, F) after the blocks of a vision transformer, written out."""
    width = x.shape[2]

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, of[f"{name}.weight"], of[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (width,), of[f"{name}.weight"], of[f"{name}.bias"], eps)

    for place in range(sum(key.startswith(blocks) and key.endswith(".norm1.weight") for key in of)):
        name = f"{blocks}{place}"
        heads = linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv").unflatten(2, (3, width // 64, 64))
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        seen = (q @ k.mT / 8).softmax(-1) @ v
        scales = [of.get(f"{name}.ls{part}.gamma", torch.ones(())) for part in (1, 2)]
        x = x + scales[0] * linear(seen.transpose(1, 2).flatten(2), f"{name}.attn.proj")
        x = x + scales[1] * linear(gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")), f"{name}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def as_dinov2(of: WEIGHTS) -> Tensor:
    x = prepared(224, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    x = F.conv2d(x, of["patch_embed.proj.weight"], of["patch_embed.proj.bias"], stride=14).flatten(2).mT
    x = torch.cat([of["cls_token"].expand(len(x), -1, -1), x], 1) + on_grid(of["pos_embed"])
    return transformed(x, of, "blocks.", F.gelu, 1e-6)


def as_clip(of: WEIGHTS) -> Tensor:
    x = prepared(224, [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    x = F.conv2d(x, of["visual.conv1.weight"], stride=32).flatten(2).mT
    x = torch.cat([of["visual.class_embedding"].expand(len(x), 1, -1), x], 1) + of["visual.positional_embedding"]
    x = F.layer_norm(x, (768,), of["visual.ln_pre.weight"], of["visual.ln_pre.bias"])
    names = {"in_proj_": "qkv.", "out_proj": "proj", "c_fc": "fc1", "c_proj": "fc2", "ln_post": "norm", "ln_": "norm"}
    renamed = {}
    for name, value in of.items():
        for old, new in names.items():
            name = name.replace(old, new)
        renamed[name.removeprefix("visual.").removeprefix("transformer.")] = value
    return transformed(x, renamed, "resblocks.", lambda x: x * (1.702 * x).sigmoid(), 1e-5) @ of["visual.proj"]


def as_vgg16(of: WEIGHTS) -> Tensor:
    with torch.device("meta"):
        network = vgg16(weights=None)
    network.load_state_dict(of, assign=True)
    network.eval().classifier = network.classifier[:5]  # to the second ReLU
    return network(prepared(224, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


def test_features_are_those_of_the_publishers_steps(space: tuple[Features, WEIGHTS]) -> None:
    features, weights = space
    kind = features.name.partition("_")[0]
    with torch.no_grad():
        found, logits = features(IMAGES)
        expected = {"dinov2": as_dinov2, "clip": as_clip, "vgg16": as_vgg16}[kind](weights)
        assert found.shape == (3, features.num_features) and found.dtype == torch.float32
        assert (found - expected).abs().max() < 1e-3 * expected.abs().max()
        assert expected.std(0).max() > 5e-3 * expected.abs().max(), "images differ"
        assert torch.equal(features(IMAGES[:, :1])[0], features(IMAGES[:, :1].expand(-1, 3, -1, -1))[0])
    assert logits.shape == (3, 1000 if features.has_classes else 0)
    assert not features.network.training  # type: ignore[union-attr]


def test_scores_carry_the_name_and_need_classes_only_where_there_are_some(space: tuple[Features, WEIGHTS]) -> None:
    features, _ = space
    data = ImageSet(IMAGES.repeat(4, 1, 1, 1), None, [], "few", "few")
    names = {"dinov2": "dinov2_vits14", "clip": "clip", "vgg16": "vgg16"}
    name = names[features.name.partition("_")[0]]
    scores = {"fd": FrechetDistance(), "precision": Precision()}
    assert Scorer(features, scores, data, num=6).names == [f"fd_{name}", f"precision_{name}"]
    if features.has_classes:
        assert Scorer(features, {"is": InceptionScore(2)}, data, num=6).names == [f"is_{name}"]
    else:
        with pytest.raises(GantoolError, match=f"is_{name} needs classes and features={name} has none"):
            Scorer(features, {"is": InceptionScore(2)}, data, num=6)


@pytest.mark.parametrize("kind", SPACES)
def test_bad_files_are_one_line_with_the_fix(kind: str, tmp_path: Path) -> None:
    files = {
        name: tmp_path / f"{name}.pth" for name in ("absent", "layout", "number", "text", "empty", "bomb", "program")
    }
    files["text.safetensors"] = tmp_path / "text.safetensors"
    torch.save(nn.Linear(3, 3).state_dict(), files["layout"])
    torch.save(3, files["number"])
    for name in ("text", "text.safetensors"):
        files[name].write_text("<html>Not Found</html>\n")
    files["empty"].touch()
    files["bomb"].write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    torch.jit.save(torch.jit.script(nn.Linear(3, 3)), files["program"])
    save_file(nn.Linear(3, 3).state_dict(), tmp_path / "layout.safetensors")
    for path in [*files.values(), tmp_path / "layout.safetensors", tmp_path]:
        with pytest.raises(GantoolError, match=f"features={kind} features.weights=FILE$") as caught:
            SPACES[kind][0](weights=path)  # type: ignore[call-arg]
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_tensors_may_be_in_safetensors_and_half_precision(tmp_path: Path) -> None:
    weights = vit_s14()
    save_file({name: value.half() for name, value in weights.items()}, tmp_path / "half.safetensors")
    with torch.no_grad():
        found = DINOv2Features(tmp_path / "half.safetensors")(IMAGES)[0]
        assert torch.allclose(found, as_dinov2({k: v.half().float() for k, v in weights.items()}), rtol=1e-3, atol=1e-3)


def test_openais_program_is_run_only_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, value in vit_b32().items():
                place: nn.Module = self
                *above, last = name.split(".")
                for part in above:
                    if part not in place._modules:
                        place.add_module(part, nn.Module())
                    place = place.get_submodule(part)
                place.register_parameter(last, nn.Parameter(value, requires_grad=False))

        def forward(self, x: Tensor) -> Tensor:
            return x

    path = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(Holder(), torch.zeros(1)), path)
    with pytest.raises(GantoolError, match="TorchScript"):
        CLIPFeatures(path)
    published = CLIPFeatures.published
    monkeypatch.setattr(CLIPFeatures, "published", type(published)(published.what, "", "", published.hash(path)))
    with torch.no_grad():
        assert torch.isfinite(CLIPFeatures(path)(IMAGES)[0]).all()


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.errors.find_spec", lambda name: None)
    with pytest.raises(GantoolError, match=r"features=dinov2 needs timm: pip install 'gantool\[features\]'"):
        DINOv2Features()
