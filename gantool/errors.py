"""The one exception that is a user's mistake: shown as one line that names the fix, without a traceback."""

import difflib
from collections.abc import Iterable


class GantoolError(Exception):
    """Something the user can put right; its text says what is wrong and names the fix in one line."""


class DoesNotApply(GantoolError):
    """A part has nothing to do in this run: left out where it came by default, an error where the user chose it."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """' (did you mean 'adam'?)' where a choice is close to `word`, else ''."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
