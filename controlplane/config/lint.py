"""The findings of `decide.playbook.lint`, with file and line."""

from pathlib import Path

from controlplane.config.lines import line_at, lines_of
from controlplane.config.playbooks import places
from controlplane.decide.playbook.lint import circle, lint
from controlplane.model.config import Config
from controlplane.model.errors import ConfigError


def linted(config: Config, source: str) -> tuple[ConfigError, ...]:
    """What is wrong with the playbooks of `config`, which was read from `source`."""
    where = places(source)
    found = []
    for one in lint(config.playbooks, config.topology(), config.response_policy(), config.people()):
        key, book = f"playbooks.{one.playbook}{one.key}", where.get(one.playbook)
        if book is None:  # somebody has changed the file since it was read
            found.append(ConfigError(one.reason, key=key, source=source))
        else:
            found.append(ConfigError(one.reason, key=key, source=book.source, line=book.line(one.path) or 0))
    said = " ".join(one.reason for one in found)
    for name in config.ladders:  # those of services without a playbook; what a playbook leads to is named there
        around = " -> ".join(circle(name, config.ladders))
        if around and name not in said:
            line = line_at(lines_of(Path(source).read_text(encoding="utf-8")), ("ladders", name, "then"))
            reason = f"its escalation goes round for ever: {around}"
            found.append(ConfigError(reason, key=f"ladders.{name}.then", source=source, line=line or 0))
    return tuple(found)
