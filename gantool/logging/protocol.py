"""What of a protocol says how a score was measured: scores of other ways are not compared."""

import hashlib
import json
from collections.abc import Mapping

# Not how a score is measured.
_NOT_HOW = ("metrics", "higher_is_better", "floor", "warning", "scores", "margin_parts")


def how(protocol: Mapping[str, object] | None, metric: str) -> str:
    """How the score was measured, as JSON; 'null' where that is not known."""
    if protocol is None:
        return "null"
    told = {key: value for key, value in protocol.items() if value is not None and key not in _NOT_HOW}
    scores = protocol.get("scores")
    own = scores.get(metric) if isinstance(scores, Mapping) else None
    return json.dumps(told | ({"score": own} if own else {}), sort_keys=True, default=str)


def way(protocol: Mapping[str, object], metric: str) -> str:
    """The same in 16 hex digits: numbers of another way are none to compare with."""
    return hashlib.sha256(how(protocol, metric).encode()).hexdigest()[:16]
