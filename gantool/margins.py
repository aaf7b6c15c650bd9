"""How far a score is to be trusted: its margin, how both are written, and which scores are ties."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PARTS = 10  # of the images, whose scores give the margin


def student(freedom: float) -> float:
    """How many standard errors lie between the middle and an end of a 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def margin(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean of at least two independent values; NaN where one is not finite."""
    if not all(map(math.isfinite, values)):
        return math.nan
    return student(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def written(value: float, margin: float | None = None, digits: int = 4) -> str:
    """'4.53 ± 0.20': two digits of the margin and as many decimals of the value; '4.532', of `digits`, where there is
    none."""
    if margin is None or not (math.isfinite(margin) and margin > 0):
        return f"{value:.{digits}g}"
    decimals = max(0, 1 - math.floor(math.log10(margin)))
    return f"{value:.{decimals}f} ± {margin:.{decimals}f}"


@dataclass(frozen=True)
class Estimate:
    """A score, or the mean of those of several seeds."""

    value: float
    error: float = 0.0  # its standard error; 0: not known
    freedom: float = PARTS - 1  # degrees of freedom of that
    num: int = 1  # seeds
    spread: float | None = None  # the standard deviation over seeds

    @classmethod
    def of_one(cls, value: float, margin: float | None, parts: int = PARTS) -> "Estimate":
        """Of one seed: all that is known is the margin of its images, from so many parts of them."""
        return cls(value, (margin or 0.0) / student(parts - 1), parts - 1)

    @classmethod
    def of_seeds(cls, values: Sequence[float]) -> "Estimate":
        """The mean over two seeds or more, of finite values."""
        spread, num = statistics.stdev(values), len(values)
        return cls(statistics.fmean(values), spread / math.sqrt(num), num - 1, num, spread)

    def needs(self, other: "Estimate") -> float:
        """By how much the two must differ to be told apart at 95 % (Welch 1947)."""
        a, b = self.error**2, other.error**2
        if a + b == 0:
            return 0.0
        return student((a + b) ** 2 / (a**2 / self.freedom + b**2 / other.freedom)) * math.sqrt(a + b)

    def apart(self, other: "Estimate") -> float:
        """The same if the spreads were known and not guessed from a few seeds."""
        return student(math.inf) * math.hypot(self.error, other.error)

    def ties(self, other: "Estimate") -> bool:
        """True where the difference is within what chance makes of it."""
        return abs(self.value - other.value) <= self.needs(other)

    def __str__(self) -> str:
        return written(self.value, self.spread if self.num > 1 else self.error * student(self.freedom))


def places(ranked: Sequence[Estimate]) -> list[str]:
    """'1=', '1=', '3' for estimates, best first: those that tie with the first of a place share it."""
    leaders: list[int] = []
    for index, one in enumerate(ranked):
        same = bool(leaders) and ranked[leaders[-1]].ties(one)
        leaders.append(leaders[-1] if same else index)
    return [f"{place + 1}{'=' if leaders.count(place) > 1 else ''}" for place in leaders]
