"""What the environment says of the tests: a word that cannot be meant ends them in one line."""

import runpy
from pathlib import Path

import pytest

configure = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["pytest_configure"]  # tests/gpu has one too


@pytest.mark.parametrize(
    ("name", "word"),
    [("GANTOOL_FUZZ", "abc"), ("GANTOOL_FUZZ", "-1"), ("GANTOOL_SEED", "1.5"), ("GANTOOL_TESTS", "al")],
)
def test_words_of_the_environment_are_checked(
    name: str, word: str, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    for other in ("GANTOOL_FUZZ", "GANTOOL_SEED", "GANTOOL_TESTS"):
        monkeypatch.delenv(other, raising=False)
    configure(pytestconfig)
    monkeypatch.setenv(name, word)
    runpy.run_path(str(Path(__file__).with_name("extent.py")))
    with pytest.raises(pytest.UsageError, match=f"^{name}={word}: .*leave it unset for [^\n]*$"):
        configure(pytestconfig)
