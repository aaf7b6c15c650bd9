"""Embeddings: the cache of real images, damaged files, images kept on demand, and extractors of the wrong shape."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.metrics.embedding import CPU, Embedding, embed, embed_reals
from rows import Rows, blocks, noise, reals


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    return tmp_path


def embedded(data: ImageSet, rows: torch.Tensor, features: Rows, keep_images: bool = False) -> Embedding:
    return embed_reals(features, data, rows, 50, CPU, lambda blocks, total: blocks, keep_images=keep_images)


def test_reals_are_embedded_once(cache: Path) -> None:
    features, rows = Rows(), torch.arange(0, 300, 3)
    first, again = embedded(reals(), rows, features), embedded(reals(), rows, features)
    assert features.seen == 100 and torch.equal(first.features, again.features)
    assert torch.equal(first.features, Rows()(reals().images[rows])[0])
    embedded(reals(), rows + 1, features)
    embedded(reals(fingerprint="other"), rows, features)
    assert features.seen == 300 and len(list((cache / "embeddings").iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other tensors", "fewer rows", "folder"])
def test_damaged_files_are_made_again(damage: str, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    features, rows = Rows(), torch.arange(300)
    first = embedded(reals(), rows, features)
    (file,) = (cache / "embeddings").iterdir()
    content = file.read_bytes()
    file.unlink()
    match damage:
        case "folder":
            file.mkdir()
        case "other tensors":
            save_file({"features": first.features}, file)
        case "fewer rows":
            save_file({"features": first.features[:9], "logits": first.logits[:9]}, file)
        case _:
            file.write_bytes({"cut": content[:-8], "empty": b"", "text": b"<html>"}[damage])
    assert torch.equal(embedded(reals(), rows, features).features, first.features) and features.seen == 600
    embedded(reals(), rows, features)
    if damage == "folder":  # it cannot be written either: one line says so
        assert features.seen == 900 and "cannot be written" in caplog.text
    else:
        assert features.seen == 600


def test_images_and_labels_are_kept_where_they_are_asked_for() -> None:
    images, labels = noise(60, 0), torch.arange(60)
    data, rows = ImageSet(images, labels, ["a"] * 60, "labelled", "noise"), torch.arange(0, 60, 2)
    assert embedded(data, rows, Rows()).images is None
    some, whole = (embedded(data, r, Rows(), keep_images=True) for r in (rows, torch.arange(60)))
    assert some.images is not None and torch.equal(some.images, images[rows])
    assert some.labels is not None and torch.equal(some.labels, rows)
    assert whole.images is images, "all of a data set stay in their memory-mapped file"
    part = some[torch.tensor([3, 1])]
    assert part.labels is not None and part.labels.tolist() == [6, 2] and part.images is not None
    assert torch.equal(part.features, Rows()(part.images)[0])

    made = embed(Rows(), ((images[r], labels[r]) for r in rows.split(7)), CPU, keep_images=True)
    assert made.images is not None and torch.equal(made.images, images[rows])
    assert made.labels is not None and torch.equal(made.labels, rows)
    unlabelled = embed(Rows(), blocks(images), CPU, keep_images=True)
    assert unlabelled.labels is None and unlabelled.images is not None


@pytest.mark.parametrize(
    ("made", "shapes"),
    [
        (lambda x: (torch.zeros(len(x), 7), torch.zeros(len(x), 3)), r"\(30, 7\) and \(30, 3\)"),
        (lambda x: (torch.zeros(len(x), 8, 2, 2), torch.zeros(len(x), 3)), r"\(30, 8, 2, 2\)"),
        (lambda x: torch.zeros(len(x), 8), r"\(30, 8\)"),
        (lambda x: None, "NoneType"),
    ],
)
def test_an_extractor_of_the_wrong_shape_is_one_line(made, shapes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "forward", lambda self, x: made(x))
    with pytest.raises(GantoolError, match=rf"Rows gives {shapes}.* for 30 images, not features \(30, 8\)"):
        embed(Rows(), blocks(noise(60, 1)), CPU)
