"""Who is to be told can be told: every mistake in `[notifiers]`, `[ladders]` and `[owners]` is named with its key."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from controlplane.config import parse_config
from controlplane.config.quiet import quiet_hours
from controlplane.model.errors import ConfigError

GOOD = """
[notifiers.chat]
kind = "webhook"
url = "http://127.0.0.1:9"
[notifiers.pager]
kind = "pagerduty"
token_env = "KEY"
[ladders.shop]
rungs = [{ notify = ["chat"] }, { notify = ["pager"], after_s = 60 }]
[owners.team]
ladder = "shop"
[[services]]
name = "orders"
owner = "team"
"""


def problems(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as raised:
        parse_config(text)
    return {problem.key: problem.reason for problem in raised.value.problems}


def test_what_is_right_is_taken() -> None:
    """As it stands, and with paths beside the file."""
    config = parse_config(GOOD.replace('token_env = "KEY"', 'token_file = "key"'), source="/etc/cp/controlplane.toml")
    assert config.notifiers["pager"].token_file == "/etc/cp/key"
    assert config.people().owners["team"].ladder == "shop"


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ('url = "http://127.0.0.1:9"', "", "notifiers.chat.url", "is missing; a webhook needs it"),
        ("http://127.0.0.1:9", "http://me:pw@127.0.0.1:9", "notifiers.chat.url", "carries credentials"),
        ("http://127.0.0.1:9", "ftp://127.0.0.1", "notifiers.chat.url", "is not an http or https URL"),
        ('token_env = "KEY"', "", "notifiers.pager.token_file", "pagerduty needs an integration's routing key"),
        ('"KEY"', '"KEY"\ntoken_file = "key"', "notifiers.pager.token_env", "name two secrets"),
        ('"KEY"', '"KEY"\nchannel = "#x"', "notifiers.pager.channel", "only slack has channels"),
        ('"KEY"', '"KEY"\nquiet = ["22-7"]', "notifiers.pager.quiet", "'22-7' is no span of the day"),
        ('"KEY"', '"KEY"\nquiet = ["25:00-07:00"]', "notifiers.pager.quiet", "is no span of the day"),
        ('"KEY"', '"KEY"\ntimezone = "Europe/Berlim"', "notifiers.pager.timezone", "is no time zone of this machine"),
        ('"KEY"', '"KEY"\ntimezone = "../../etc/passwd"', "notifiers.pager.timezone", "is no time zone"),
        ('"KEY"', '"KEY"\nleast = "low"', "notifiers.pager.least", "'low' is not"),
        ('"KEY"', '"KEY"\nroute = "x"', "notifiers.pager.route", "is not a known key"),
        ('kind = "webhook"', 'kind = "pigeon"', "notifiers.chat.kind", "'pigeon' is not"),
        ('["pager"]', '["pagr"]', "ladders.shop.rungs", "'pagr' is not a declared notifier, did you mean 'pager'?"),
        ('["pager"]', "[]", "ladders.shop.rungs", "rung 2 names nobody"),
        ("after_s = 60 }]", 'after_s = 60 }]\nthen = "shp"', "ladders.shop.then", "did you mean 'shop'?"),
        ('ladder = "shop"', 'ladder = "ship"', "owners.team.ladder", "'ship' is not a declared ladder"),
        ('owner = "team"', 'owner = "tim"', "services.orders.owner", "'tim' is not a declared owner"),
    ],
)
def test_each_mistake_is_named(old: str, new: str, key: str, reason: str) -> None:
    """With its key, the value, and what would be right."""
    found = problems(GOOD.replace(old, new))
    assert reason in found[key]


def test_a_url_that_is_a_secret_does_not_belong_into_the_file() -> None:
    """An incoming webhook's URL lets anybody write: it is a secret like any token."""
    text = '[notifiers.chat]\nkind = "slack"\nurl = "https://hooks.slack.com/services/T/B/X"\ntoken_env = "X"\n'
    assert "is a secret" in problems(text)["notifiers.chat.url"]


def test_quiet_hours_go_over_midnight_and_by_their_own_clock() -> None:
    """Seconds that are left of them, at a Unix time; the zone's summer time included."""
    left_s = quiet_hours(["22:00-07:00", "12:00-13:00"], "Europe/Berlin")

    def at(*moment: int) -> float:
        return left_s(int(datetime(*moment, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1e9))  # type: ignore[misc,arg-type]

    assert at(2026, 1, 15, 21, 59) == 0
    assert at(2026, 1, 15, 22, 0) == 9 * 3600
    assert at(2026, 7, 16, 6, 59) == 60
    assert at(2026, 7, 16, 7, 0) == 0
    assert at(2026, 7, 16, 12, 30) == 1800
    assert quiet_hours([], "UTC")(0) == 0
