"""`[deployers]`: what each kind needs, and who may name one."""

from pathlib import Path

import pytest

from controlplane.config import load_config, parse_config
from controlplane.config.token import token_of
from controlplane.model.config import DeployerSection
from controlplane.model.errors import ConfigError

SERVICE = """
[[services]]
name = "cart"
deployer = "ci"
pool = 32
endpoints = [{ name = "c1", url = "http://127.0.0.1:1", version = "v1", capacity_per_s = 120.5 }]
"""


def wrong(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as refused:
        parse_config(text)
    return {problem.key: problem.reason for problem in refused.value.problems}


def test_a_deployer_of_each_kind_is_taken_as_it_is_written() -> None:
    """With the defaults that the reference names."""
    config = parse_config(
        """
[deployers.ci]
kind = "command"
command = ["deploy", "rollback", "{service}", "--from", "{version}"]
[deployers.hook]
kind = "webhook"
url = "https://deploy.example/rollback"
timeout_s = 60
[deployers.flagger]
kind = "gate"
"""
        + SERVICE
    )
    assert config.deployers["ci"] == DeployerSection(
        kind="command", command=("deploy", "rollback", "{service}", "--from", "{version}"), timeout_s=300.0
    )
    assert config.deployers["hook"].timeout_s == 60
    assert config.deployers["flagger"].poll_s == 2.0
    assert config.services[0].pool == 32
    assert config.services[0].endpoints[0].capacity_per_s == 120.5


@pytest.mark.parametrize(
    ("section", "key", "said"),
    [
        ('kind = "command"', "deployers.ci.command", "a command needs it"),
        ('kind = "webhook"', "deployers.ci.url", "a webhook needs it"),
        ('kind = "gate"\nurl = "http://h"', "deployers.ci.url", "means nothing for a gate"),
        ('kind = "command"\ncommand = ["a", ""]', "deployers.ci.command", "has an empty word"),
        ('kind = "command"\ncommand = ["a", "{sevice}"]', "deployers.ci.command", "did you mean 'service'"),
        ('kind = "webhook"\nurl = "ftp://h"', "deployers.ci.url", "is not an http or https URL"),
        ('kind = "webhook"\nurl = "http://u:p@h"', "deployers.ci.url", "put a token into token_file"),
        ('kind = "magic"', "deployers.ci.kind", "is not"),
        ('command = ["a"]', "deployers.ci.kind", "is missing"),
        ('kind = "gate"\ntimeout_s = 7200', "deployers.ci.timeout_s", "is not"),
    ],
)
def test_what_is_wrong_with_a_deployer_is_said_with_its_key(section: str, key: str, said: str) -> None:
    """And what would be right."""
    found = wrong(f"[deployers.ci]\n{section}\n{SERVICE}")
    assert said in found[key]


def test_a_service_names_a_deployer_that_there_is() -> None:
    """One that was misspelt would be found out when it is needed most."""
    found = wrong('[deployers.ci2]\nkind = "gate"\n' + SERVICE)
    assert "'ci' is not a declared deployer" in found["services.cart.deployer"]
    assert "did you mean 'ci2'" in found["services.cart.deployer"]
    assert "declares none" in wrong(SERVICE)["services.cart.deployer"]


def test_a_third_party_is_not_ours_to_roll_back() -> None:
    """Its versions are its own."""
    found = wrong('[deployers.ci]\nkind = "gate"\n' + SERVICE.replace("pool = 32", "external = true"))
    assert "is external" in found["services.cart.deployer"]


def test_a_version_is_rolled_back_whole_or_only_reported() -> None:
    """Half a roll-back is none."""
    found = wrong("[response]\nenforcement = { roll_back = 50 }")
    assert "whole (100) or only reported (0)" in found["response.enforcement.roll_back"]


def test_a_token_lies_beside_the_configuration(tmp_path: Path) -> None:
    """Relative to the file, readable by its owner only; what is wrong with it is said under the deployer's key."""
    file, token = tmp_path / "c.toml", tmp_path / "deploy.token"
    file.write_text('[deployers.ci]\nkind = "gate"\ntoken_file = "deploy.token"\n' + SERVICE)
    section = load_config(file).deployers["ci"]
    assert section.token_file == str(token)
    with pytest.raises(ConfigError, match=r"deployers\.ci\.token_file"):
        token_of("ci", section)
    token.write_text("a-token-of-sufficient-length\n")
    token.chmod(0o600)
    assert token_of("ci", section) == "a-token-of-sufficient-length"
