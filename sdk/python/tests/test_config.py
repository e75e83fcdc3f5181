"""What the host's configuration gives, and how its tools are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import agentmesh
from agentmesh.config import Config
from agentmesh.errors import ConfigError, ProtocolError


def config(**fields: Any) -> Config:
    return Config.parse({"protocol": 1, "agent": "sales", **fields})


TOOLS = [{"name": "crm/get_customer"}, {"name": "crm/search"}, {"name": "web/search"}]


def test_tools_go_by_their_short_name_unless_two_share_it() -> None:
    chosen = config(tools=TOOLS, agents=[{"name": "marketing"}]).select([])
    assert [name for name, _ in chosen] == ["get_customer", "crm_search", "web_search", "ask_marketing"]


def test_a_tool_named_twice_is_selected_once() -> None:
    chosen = config(tools=TOOLS).select(["get_customer", "crm/get_customer"])
    assert [name for name, _ in chosen] == ["get_customer"]


def test_an_unknown_peer_is_refused_with_the_list_of_peers() -> None:
    with pytest.raises(ConfigError, match=r"no peer 'legal': available are marketing; add it"):
        config(agents=[{"name": "marketing"}]).select(["agent:legal"])


def test_a_mesh_without_a_model_says_where_to_put_one() -> None:
    with pytest.raises(ConfigError, match="add a `model:` section"):
        config().require_model()


def test_a_model_without_a_key_still_has_something_to_give_to_clients() -> None:
    model = config(model={"base_url": "http://127.0.0.1:1/v1", "name": "demo"}).require_model()
    assert (model.key, model.api_key) == (None, "none")


def test_a_model_never_shows_its_key() -> None:
    model = config(model={"base_url": "http://127.0.0.1:1/v1", "name": "demo", "key": "swordfish"})
    assert "swordfish" not in repr(model)


@pytest.mark.parametrize(
    "fields", [{"tools": [{"no": "name"}]}, {"model": {"name": "x"}}, {"agents": ["text"]}]
)
def test_a_config_that_lacks_something_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="config message is not valid"):
        config(**fields)


def test_outside_a_worker_the_functions_say_how_to_start_one() -> None:
    with pytest.raises(ConfigError, match="start the agent with `agentmesh up`"):
        agentmesh.model()


def test_outside_a_task_there_is_no_current_task() -> None:
    with pytest.raises(agentmesh.NotInTask, match="no current task"):
        agentmesh.current_task()


def test_the_version_is_that_of_the_distribution() -> None:
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    match = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert match is not None
    assert agentmesh.__version__ == match.group(1)
