"""TensorBoard's table of runs: the settings that it ticks, and a column for each score."""

from functools import partial
from pathlib import Path

from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from gantool.logging.log import Log
from gantool.logging.tensorboard import TICKED, TensorBoard

PLAYERS = ("generator", "discriminator")


def table_of_runs(run_dir: Path) -> tuple[list[str], list[str], dict[str, object]]:
    """Of the HParams tab: the tags of its scores, the settings that are ticked, and the values of all of them."""
    told = EventAccumulator(str(run_dir)).Reload().summary_metadata
    content = {name: data.plugin_data.content for name, data in told.items()}  # type: ignore[union-attr]
    experiment = metadata.parse_experiment_plugin_data(content["_hparams_/experiment"])
    start = metadata.parse_session_start_info_plugin_data(content["_hparams_/session_start_info"])
    values = {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in start.hparams.items()}
    ticked = [info.name for info in experiment.hparam_infos if info.differs]  # what TensorBoard shows and sorts by
    return [info.name.tag for info in experiment.metric_infos], ticked, values


def test_hparams_tick_the_first_five_and_have_a_column_for_each_score_alone(tmp_path: Path) -> None:
    tags = ["metrics/kd_mine", "metrics/cas"]
    for name in ("a", "b"):
        hparams = {"optimizer.lr": 2e-4, "optimizer.betas": [0.5, 0.999], "model.conditional": True, "loss": name}
        trackers = {"tensorboard": partial(TensorBoard, metrics=tags)}
        Log(tmp_path / name, hparams=hparams | {"trainer.seed": 1, "a": 1, "b": 2}, trackers=trackers).close()
    for name in ("a", "b"):
        metrics, ticked, values = table_of_runs(tmp_path / name)
        assert metrics == [*tags, "speed/images_per_second"]
        assert ticked == [*hparams, "trainer.seed"] and len(ticked) == TICKED
        shown = {"optimizer.lr": 2e-4, "optimizer.betas": "[0.5, 0.999]", "model.conditional": "True", "loss": name}
        assert values.items() >= shown.items()


def test_a_run_ticks_its_seed_and_the_rates_of_all_players(trained_run: Path) -> None:
    metrics, ticked, values = table_of_runs(trained_run)
    config = OmegaConf.load(trained_run / ".hydra" / "config.yaml")
    of_player = {name: OmegaConf.merge(config.optimizer, config.optimizer[name]) for name in PLAYERS}
    rates = {f"optimizer.{name}.lr": optimizer.lr for name, optimizer in of_player.items()}
    assert {"trainer.seed", *rates} <= set(ticked) and len(ticked) == TICKED
    assert values.items() >= ({"trainer.seed": 7, "model": "mlp"} | rates).items()
    assert metrics == ["metrics/fd_digits", "speed/images_per_second"]
