"""Maps and neighbours against scikit-learn and brute force, and the sign of memorising on images that were copied."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from gantool.analysis import neighbours
from gantool.analysis.embedding import predicted_classes, principal_components, tsne
from gantool.analysis.neighbours import closeness, nearest
from gantool.metrics.embedding import Embedding


def test_principal_components_are_those_of_scikit_learn() -> None:
    points = torch.randn(200, 12, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(12.0, 0, -1))
    ours, shares = principal_components(points, 3)
    theirs = PCA(3, svd_solver="full").fit(points.double().numpy())
    np.testing.assert_allclose(np.abs(ours.numpy()), np.abs(theirs.transform(points.double().numpy())), atol=1e-8)
    np.testing.assert_allclose(shares, theirs.explained_variance_ratio_)
    assert torch.equal(principal_components(points, 3)[0], ours)
    assert principal_components(points[:, :1], 2)[0].shape == (200, 1), "no more axes than features"


def test_tsne_keeps_neighbours_and_follows_the_seed() -> None:
    centres = 10 * torch.eye(5, 20)
    torch.manual_seed(0)
    points = centres.repeat_interleave(12, 0) + torch.randn(60, 20)
    places = tsne(points, perplexity=10, seed=3)
    assert torch.equal(places, tsne(points, perplexity=10, seed=3))
    assert trustworthiness(points.numpy(), places.numpy(), n_neighbors=8) > 0.8


@pytest.mark.parametrize("block", [7, 1000])
def test_neighbours_are_those_of_brute_force(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    torch.manual_seed(0)
    points = torch.randint(256, (150, 1, 6, 6), dtype=torch.uint8)
    queries = torch.cat([points[[3, 149]], torch.randint(256, (5, 1, 6, 6), dtype=torch.uint8)])
    found = nearest(queries, points, 4)
    theirs = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(points.flatten(1).double().numpy())
    distances, rows = theirs.kneighbors(queries.flatten(1).double().numpy())
    np.testing.assert_allclose(found.distances.numpy(), distances, atol=1e-9)
    assert (found.rows.numpy() == rows).all()
    assert found.rows[:2, 0].tolist() == [3, 149] and (found.distances[:2, 0] == 0).all(), "a copy is at distance 0"
    others = nearest(points[:9], points, 1, own=torch.arange(9))
    distances, rows = theirs.kneighbors(points[:9].flatten(1).double().numpy(), 2)
    assert (others.rows[:, 0].numpy() == rows[:, 1]).all()
    assert nearest(points, points, 149, own=torch.arange(150)).distances.isfinite().all(), "all the others"


def test_copies_are_nearer_than_real_images_and_new_ones_are_not() -> None:
    torch.manual_seed(0)
    training, new = torch.randn(2000, 8), torch.randn(1000, 8)
    real = nearest(training[:1000], training, 1, own=torch.arange(1000)).distances[:, 0]
    fresh = closeness(nearest(new, training, 1).distances[:, 0], real)
    assert fresh.share < 0.03 and fresh.median_generated == pytest.approx(fresh.median_real, rel=0.05)
    assert float((real < fresh.threshold).double().mean()) == pytest.approx(0.01, abs=0.002)
    copied = torch.where(torch.arange(1000)[:, None] < 300, training[:1000] + 0.01, new)
    assert closeness(nearest(copied, training, 1).distances[:, 0], real).share == pytest.approx(0.3, abs=0.03)
    repeated = torch.cat([training, training[:40]])  # of which more than 1 % lie at distance 0
    real = nearest(repeated[:1000], repeated, 1, own=torch.arange(1000)).distances[:, 0]
    for made, share in ((training[:1000], 1.0), (new, 0.0)):
        found = closeness(nearest(made, repeated, 1).distances[:, 0], real)
        assert (found.threshold, found.share) == (0.0, share)


def test_an_extractor_names_classes_only_where_it_knows_them() -> None:
    labels = torch.arange(40) % 4
    logits = torch.nn.functional.one_hot(labels, 4).float()
    made = Embedding(torch.zeros(3, 2), torch.eye(4)[[2, 0, 3]])

    def predicted(right: int, classes: int = 4) -> list[int] | None:
        real = Embedding(torch.zeros(40, 2), torch.where(torch.arange(40)[:, None] < right, logits, logits.roll(1, 1)))
        found = predicted_classes(made, real, labels, classes)
        return None if found is None else found.tolist()

    assert predicted(40) == predicted(36) == [2, 0, 3]
    assert predicted(35) is None and predicted(40, classes=3) is None
