"""Keys that cannot show in a small run, each with the reason: the list of test_every_key."""

REASONS = {
    "trainer.dry_run": "nothing is trained: test_fitting",
    "trainer.device": "another device, the same run",
    "trainer.compile": "the same numbers, faster",
    "trainer.channels_last": "the layout in memory, not the numbers",
    "trainer.deterministic": "refuses kernels that a CPU does not have",
    "trainer.watchdog.patience": "acts once a run goes wrong: test_watchdog",
    "trainer.watchdog.diversity": "acts once a run goes wrong: test_watchdog",
    "trainer.watchdog.explosion": "acts once a run goes wrong: test_watchdog",
    "trainer.watchdog.max_rollbacks": "acts once a run goes wrong: test_watchdog",
    "trainer.watchdog.rate_factor": "acts once a run goes wrong: test_watchdog",
    "dataset.device_resident": "where the images are kept",
    "dataset.on_bad_image": "there is no damaged image: test_data_folder",
    "dataset.root": "where the files are, not what they are",
    "dataset.download": "the files are there",
    "optimizer.fused": "the kernel, not the numbers",
    "optimizer.foreach": "the kernel, not the numbers",
    "monitor.scores.batch_size": "how many at once; an image depends on its number alone",
    "features.weights": "where the file is, not what is in it",
    "features.device": "where it is fitted",
    "model.discriminator.layout": "at 32 pixels both are alike: test_resnet",
    "features.source": "another data set to fit on: test_metrics_classifier",
    "trainer.stop": "ends a run after more scores than it has: test_ending",
    "dataset.fit": "the images are square: test_data_shapes",
    "dataset.attributes": "labels, which an unconditional model is not shown: test_data_labels",
    "recipe.duration": "trainer.duration is typed over it here",
    "recipe.batch_size": "trainer.batch_size is typed over it here",
}


def reason(key: str) -> str | None:
    """Why a key cannot show; None for one that has to."""
    return "no network here has batch norm: test_regularizers" if key.endswith("allow_batch_norm") else REASONS.get(key)
