"""The findings of `decide.playbook.lint`, with file and line."""

from controlplane.config.playbooks import places
from controlplane.decide.playbook.lint import People, lint
from controlplane.model.config import Config
from controlplane.model.errors import ConfigError


def linted(config: Config, source: str) -> tuple[ConfigError, ...]:
    """What is wrong with the playbooks of `config`, which was read from `source`."""
    where = places(source)
    people = People(owners=config.owners, ladders=config.ladders)
    found = []
    for one in lint(config.playbooks, config.topology(), config.response_policy(), people):
        book = where[one.playbook]
        line = book.line(one.path) or 0
        found.append(ConfigError(one.reason, key=f"playbooks.{one.playbook}{one.key}", source=book.source, line=line))
    return tuple(found)
