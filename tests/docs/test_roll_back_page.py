"""The page about roll-backs: its configuration is one that `controlplane check` takes."""

import re
from pathlib import Path

from controlplane.config import parse_config

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "roll-back.md").read_text()


def test_the_configuration_on_the_page_is_right() -> None:
    """All of its blocks together: a command, a webhook, a gate, and the service that names one of them."""
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    config = parse_config("\n".join(blocks))
    assert [one.kind for one in config.deployers.values()] == ["command", "webhook", "gate"]
    assert config.services[0].deployer == "ci"
    assert config.response.share("roll_back") == 100
