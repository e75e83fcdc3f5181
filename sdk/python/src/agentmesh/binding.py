"""The configuration of the running worker, for the functions that user modules call while they load."""

from __future__ import annotations

from agentmesh.config import Config, Model
from agentmesh.errors import ConfigError

_config: Config | None = None


def bind(config: Config) -> None:
    """Makes `config` that of this process."""
    global _config
    _config = config


def bound_config() -> Config:
    """The configuration of this worker. Raises ConfigError outside one."""
    if _config is None:
        raise ConfigError(
            "not inside an agentmesh worker: start the agent with `agentmesh up` "
            "(the host runs `python -m agentmesh module:name`)"
        )
    return _config


def model() -> Model:
    """The model of the mesh: `base_url`, `name`, `key`."""
    return bound_config().require_model()
