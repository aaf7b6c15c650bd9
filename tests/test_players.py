"""trainer.parallel=players, whose tests are in players.py."""

import subprocess
import sys
from pathlib import Path

from extent import thorough


@thorough
def test_players_in_a_process_of_their_own() -> None:
    """Fake tensors of GPUs that are not there leave torch in a state that other tests do not bear, nor
    Python at its end."""
    words = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:unraisableexception",
        str(Path(__file__).with_name("players.py")),
    ]
    code = f"import os, pytest, sys; code = pytest.main({words!r}); sys.stdout.flush(); os._exit(code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
