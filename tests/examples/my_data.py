"""A data set of one's own."""

from collections.abc import Iterator

import numpy as np

from gantool.data.source import Decoded, Source


class Stripes(Source):
    """Grey stripes, lying and standing: two classes."""

    name, channels, class_names = "stripes", 1, ["lying", "standing"]

    def __init__(self, resolution: int = 32, count: int = 200) -> None:
        self.resolution, self.side, self.count = resolution, resolution, count

    def __len__(self) -> int:
        return self.count

    def fingerprint(self) -> dict[str, object]:  # equal fingerprints give equal images: they are prepared once
        return {"count": self.count}

    def read(self) -> Iterator[Decoded]:
        generator = np.random.default_rng(0)
        for number in range(self.count):
            rows = np.repeat(generator.integers(0, 256, (1, self.side, 1), np.uint8), self.side, 2)
            yield Decoded(rows if number % 2 == 0 else rows.transpose(0, 2, 1), label=number % 2)
