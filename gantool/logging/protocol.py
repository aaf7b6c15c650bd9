"""What of a protocol says how a score was measured: scores of other ways are not compared."""

import hashlib
import json
from collections.abc import Mapping, Sequence

# What is no part of how a score is measured, beside the scores' own settings.
NOT_HOW = ("metrics", "higher_is_better", "floor", "warning", "margin_parts")
# What earlier versions of gantool did not tell: that it is absent says nothing of how a score was measured.
LATER = ("shape", "pixels_sha256")


def how(protocol: Mapping[str, object] | None, metric: str) -> str:
    """How the score was measured, as JSON; 'null' where that is not known."""
    if protocol is None:
        return "null"
    told = {key: v for key, v in protocol.items() if v is not None and key not in (*NOT_HOW, "scores")}
    scores = protocol.get("scores")
    own = scores.get(metric) if isinstance(scores, Mapping) else None
    return json.dumps(told | ({"score": own} if own else {}), sort_keys=True, default=str)


def ways(protocols: Sequence[Mapping[str, object] | None], metric: str) -> list[str]:
    """`how` of each; one that an earlier version told, without LATER, has it of the others that are else as it is,
    where all these agree on it."""
    told = [how(protocol, metric) for protocol in protocols]
    whole: dict[str, set[str]] = {}  # by what an earlier version would have told
    for protocol, one in zip(protocols, told, strict=True):
        if protocol and any(protocol.get(key) is not None for key in LATER):
            earlier = how({key: v for key, v in protocol.items() if key not in LATER}, metric)
            whole.setdefault(earlier, set()).add(one)
    return [next(iter(found)) if len(found := whole.get(one, ())) == 1 else one for one in told]


def way(protocol: Mapping[str, object], metric: str) -> str:
    """The same in 16 hex digits: numbers of another way are none to compare with."""
    return hashlib.sha256(how(protocol, metric).encode()).hexdigest()[:16]
