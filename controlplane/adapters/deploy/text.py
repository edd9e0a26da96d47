"""What a deployer is told, and what is kept of what it says."""

from collections.abc import Mapping

from controlplane.model.command import Command, RollBack

LINES_MAX = 5  # of the output, in one sentence for people
CHARACTERS_MAX = 500


def fields_of(command: Command) -> dict[str, str]:
    """What a roll-back is about, by the names under which a deployer is told."""
    intent = command.intent
    assert isinstance(intent, RollBack)
    return {
        "service": command.target.service,
        "version": intent.version,
        "to": intent.to,
        "command": command.id,
        "incident": command.incident,
        "reason": command.evidence,
    }


def filled(word: str, fields: Mapping[str, str]) -> str:
    """`word` with each {name} of `fields` filled in, once; other braces stay as they are."""
    parts = word.split("{")
    for at, part in enumerate(parts[1:], 1):
        name, brace, rest = part.partition("}")
        parts[at] = fields[name] + rest if brace and name in fields else "{" + part
    return "".join(parts)


def tail_of(output: bytes) -> str:
    """The last lines of `output` in one line, without what a terminal would take for a command."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    text = " | ".join(lines[-LINES_MAX:])
    return "".join(one for one in text if one.isprintable())[-CHARACTERS_MAX:]
