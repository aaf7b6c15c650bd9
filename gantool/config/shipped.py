"""What gantool's own YAML files say of a choice, without composing a configuration."""

from typing import Any

from omegaconf import OmegaConf

from gantool.paths import conf_dir


def shipped(group: str, choice: str) -> dict[str, Any]:
    """The content of conf/GROUP/CHOICE.yaml, a file without defaults."""
    content = OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{choice}.yaml"))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
