"""MLflow; MLFLOW_TRACKING_URI says where its runs are kept."""

import math
import time
from collections.abc import Mapping
from pathlib import Path

from gantool.game import Progress
from gantool.logging.record import Record
from gantool.logging.tracker import Sent, Tracker


class MLflow(Tracker):
    """Scalars, images and the settings as a run of `experiment`, named as the run folder. Steps are images seen."""

    needs = "mlflow"

    def __init__(
        self,
        run_dir: Path,
        *,
        first: int,
        hparams: Mapping[str, object],
        config_text: str,
        experiment: str = "gantool",
    ) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self.sent, self.client, self.metric = Sent(run_dir, "mlflow", first), MlflowClient(), Metric
        self.finished = False
        if self.sent.id is None:
            found = self.client.get_experiment_by_name(experiment)
            place = found.experiment_id if found else self.client.create_experiment(experiment)
            self.sent.id = self.client.create_run(place, run_name=run_dir.name).info.run_id
            parameters = [Param(key, str(value)) for key, value in hparams.items()]
            self.client.log_batch(self.id, params=parameters)
            self.client.log_text(self.id, config_text, "config.yaml")
            self.sent.save()
        else:
            self.client.update_run(self.id, status="RUNNING")

    @property
    def id(self) -> str:
        """Of the run that it writes to."""
        assert self.sent.id is not None, "it has begun"
        return self.sent.id

    def write(self, record: Record, progress: Progress) -> None:
        self.finished = progress.done
        if not self.sent.is_new(progress):
            return
        now = int(1000 * time.time())
        scalars = {tag: float(value) for tag, value in record.scalars.items() if math.isfinite(value)}
        self.client.log_batch(self.id, [self.metric(tag, value, now, progress.nimg) for tag, value in scalars.items()])
        for tag, image in record.images.items():
            name = f"{tag}-{progress.nimg / 1000:010.3f}.png"
            self.client.log_image(self.id, image.permute(1, 2, 0).numpy(), artifact_file=name)
        self.sent.save()

    def rewind(self, progress: Progress) -> None:
        self.sent.rewind(progress)  # it takes a step twice

    def close(self) -> None:
        self.client.set_terminated(self.id, "FINISHED" if self.finished else "KILLED")
