"""What a sweep tells at its start and its end: mistakes that every job would make, and the jobs ranked by a score."""

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from gantool.errors import GantoolError
from gantool.margins import written
from gantool.paths import conf_dir
from gantool.runs.ranking import ranking
from gantool.runs.results import read_results
from gantool.runs.tables import print_seeds


def report(folder: Path, metric: str | None) -> int:
    """Prints the table of the sweep in `folder`, and says how many jobs failed; returns their number."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    ranked = ranking(read_results(folder), metric)
    metric, results = ranked.metric, ranked.results
    if not results:
        return 0
    names = dict.fromkeys(name for result in results for name in result.metrics)
    names = [metric, *(n for n in names if n != metric)] if metric else []
    heads = (f"{name} (ranked)" if name == metric else name for name in names)
    table = Table("rank", Column("job", overflow="fold"), *heads, "kimg", "state", box=None)
    failed = [result for result in results if result.state == "failed"]
    for place, result in zip(ranked.places, results, strict=True):
        known, margins = result.metrics, result.margins
        scores = [written(known[name], margins.get(name)) if name in known else "-" for name in names]
        cells = (place, result.name, *scores, f"{result.nimg / 1000:.4g}", result.state)
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False, soft_wrap=True)
    console.width = console.width if console.is_terminal else 200
    console.print(f"\nSweep of {len(results)} jobs in {folder}", markup=False)
    console.print(table)
    print_seeds(console, ranked)
    if failed:
        console.print(f"{len(failed)} of {len(results)} jobs failed:")
    for result in failed:
        for line in (result.error or "no reason given").splitlines():
            console.print(f"  {result.name}: {line}", markup=False)
    return len(failed)


def check_constant(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Raises GantoolError for what is wrong with every job, so that it is told once: the mistakes of the first one that
    are there also without what varies."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        varies = {one.input_line for one in parsed if one.is_sweep_override()}
        first = [f"{one.get_key_element()}={next(iter(one.sweep_string_iterator()))}"
                 if one.input_line in varies else str(one.input_line) for one in parsed]  # fmt: skip
        constant = [word for word in overrides if word not in varies]
        folder = get_args_parser().parse_args(list(flags)).config_dir
        if not (mistakes := _mistakes(first, folder)):
            return
        alone = _mistakes(constant, folder)
    except (HydraException, ValueError, TypeError):
        return  # Hydra will refuse it in its place
    if both := [line for line in mistakes if line in alone]:
        raise GantoolError("\n".join(both))


def _mistakes(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """Lines about a run with these overrides, as far as they can be seen before it begins."""
    from gantool.config import Written
    from gantool.runs.build import set_up
    from gantool.runs.fitting import assume_batch

    words = [*overrides, *([f"hydra.searchpath=[file://{Path(config_dir).absolute()}]"] if config_dir else [])]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        whole = compose("train", overrides=words, return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    try:
        cfg = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        assume_batch(cfg)
        set_up(cfg, Written.of(whole.hydra))
    except GantoolError as error:
        return str(error).splitlines()
    return []
