"""Checks of `[deployers]`: each has what its kind needs and nothing else, and services name those there are."""

from controlplane.config.convert import Problems, did_you_mean
from controlplane.config.url import wrong_url
from controlplane.model.config import Config, DeployerSection

NEEDS = {"command": "command", "webhook": "url", "gate": ""}
FOREIGN = {"command": ("url", "token_file"), "webhook": ("command",), "gate": ("command", "url")}
NAMES = ("service", "version", "to", "command", "incident", "reason")  # that are filled in


def check_deployers(config: Config, problems: Problems) -> None:
    """Note what is wrong with deployers and with who names them."""
    for name, deployer in config.deployers.items():
        _check(f"deployers.{name}", deployer, problems)
    for service in config.services:
        key = f"services.{service.name}.deployer"
        if not service.deployer:
            continue
        if service.deployer not in config.deployers:
            hint = did_you_mean(service.deployer, config.deployers)
            known = f"declared: {', '.join(config.deployers)}" if config.deployers else "[deployers] declares none"
            problems.add(key, f"{service.deployer!r} is not a declared deployer{hint}; {known}")
        elif service.external:
            problems.add(key, f"{service.name!r} is external: a third party is not ours to roll back")
    share = config.response.enforcement.get("roll_back", 0)
    if share not in (0, 100):
        problems.add(
            "response.enforcement.roll_back", f"{share}: a version is rolled back whole (100) or only reported (0)"
        )


def _check(key: str, deployer: DeployerSection, problems: Problems) -> None:
    kind = deployer.kind
    if kind not in NEEDS:
        return  # told already: what it lacks depends on what it is
    needs = NEEDS[kind]
    if needs and not getattr(deployer, needs):
        example = '["deploy", "rollback", "{service}", "{version}"]' if needs == "command" else "an http or https URL"
        problems.add(f"{key}.{needs}", f"is missing; a {kind} needs it: {example}")
    for field in FOREIGN[kind]:
        if getattr(deployer, field):
            problems.add(f"{key}.{field}", f"means nothing for a {kind}; its keys: {_keys(kind)}")
    if any(not word or "\0" in word for word in deployer.command):
        problems.add(f"{key}.command", "has an empty word, or one with a zero byte; no program takes that")
    for word in deployer.command:
        for part in word.split("{")[1:]:
            name, brace, _ = part.partition("}")
            if brace and name.isidentifier() and name not in NAMES:
                hint = did_you_mean(name, NAMES)
                problems.add(f"{key}.command", f"{{{name}}} is not filled in{hint}; known: {', '.join(NAMES)}")
    if deployer.url and (reason := wrong_url(deployer.url)):
        problems.add(f"{key}.url", f"{deployer.url!r} {reason}")


def _keys(kind: str) -> str:
    own = {"command": "command, timeout_s", "webhook": "url, token_file, timeout_s, poll_s"}
    return own.get(kind, "token_file, timeout_s")
