"""Configuration: what is right is taken whole, and what is wrong is refused with key, value and what would be right."""

import json
import os
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.config import load_config, parse_config
from controlplane.config.token import ensure_token, read_token
from controlplane.model.config import (
    AdminSection,
    AlertsSection,
    Config,
    DrillsSection,
    GatewaySection,
    JournalSection,
    OtlpSection,
    PlaneSection,
    PrometheusSection,
    is_loopback,
    split_listen,
)
from controlplane.model.errors import ConfigError
from controlplane.model.policy import GuardPolicy, ResponsePolicy

GOOD = """
[plane]
name = "gateway"
mode = "observe"
[journal]
path = "state/controlplane.db"
[admin]
listen = "[::1]:0"
[gateway]
listen = "0.0.0.0:8080"
routes = { "/orders" = "orders" }
[response]
ramp_percent = [5, 50]
[policies.fast]
attempts = 3
rate_per_s = 100
[[services]]
name = "orders"
calls = ["db"]
policy = "fast"
probe_path = "/health"
endpoints = [
    { name = "a", url = "http://10.0.0.1:80", zone = "z1", version = "v1" },
    { name = "b", url = "https://[fd00::1]:443" },
]
[[services]]
name = "db"
"""


def problems(text: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    """Key and reason of everything that is wrong with `text`."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, environ)
    return {problem.key: problem.reason for problem in caught.value.problems}


def service(rest: str = "", endpoint: str = 'name = "a", url = "http://h:1"') -> str:
    return f'[[services]]\nname = "orders"\n{rest}\n[[services.endpoints]]\n' + endpoint.replace(", ", "\n")


def test_a_good_file_becomes_values(tmp_path: Path) -> None:
    """Every section lands in its struct, and paths are relative to the file."""
    file = tmp_path / "controlplane.toml"
    file.write_text(GOOD)
    config = load_config(file, {})
    assert config.plane.mode == "observe"
    assert config.response_policy().mode == "observe"
    assert config.journal.path == str(tmp_path / "state" / "controlplane.db")
    assert config.admin.token_file == str(tmp_path / "controlplane.token")
    assert config.policy(config.services[0]).attempts == 3
    assert config.policy(config.services[1]) == GuardPolicy()
    assert config.response.ramp_percent == (5, 50)
    assert config.services[0].endpoints[1].url == "https://[fd00::1]:443"


def test_an_empty_file_is_a_good_file() -> None:
    """Every section has defaults, safe ones."""
    config = parse_config("")
    assert is_loopback(split_listen(config.admin.listen)[0])
    assert config.gateway is None
    assert config.journal.path == ""


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("[plain]", "plain", "did you mean 'plane'?"),
        ("[plane]\nnmae = 'x'", "plane.nmae", "did you mean 'name'?"),
        ("[plane]\nmode = 'enforced'", "plane.mode", "'enforced' is not one of 'enforce', 'observe'"),
        ("plane = 3", "plane", "3 is not a table"),
        ("[plane]\nname = ''", "plane.name", "'' is not a non-empty text"),
        ("[journal]\npath = 7", "journal.path", "7 is not a text"),
        ("[admin]\nallow_remote = 'yes'", "admin.allow_remote", "'yes' is not true or false"),
        ("[response]\nmode = 'observe'", "response.mode", "the mode is set in [plane]"),
        ("[response]\nlease_s = 0", "response.lease_s", "0 is not a number over 0 up to 86400"),
        ("[response]\nblast_budget_percent = 101", "response.blast_budget_percent", "a whole number from 1 up to 100"),
        ("[response]\nramp_percent = [10, 200]", "response.ramp_percent[1]", "a whole number from 1 up to 100"),
        ("[policies.default]\nrate_per_s = -4", "policies.default.rate_per_s", "-4 is not a number from 0"),
        ("[policies.default]\nrate_per_s = nan", "policies.default.rate_per_s", "nan is not a number from 0"),
        ("[policies.default]\nslow_s = inf", "policies.default.slow_s", "inf is not a number from 0"),
        ("[policies.default]\nattempts = 1.5", "policies.default.attempts", "1.5 is not a whole number"),
        ("[policies.x]\nredrives = true", "policies.x.redrives", "did you mean 'redrive'?"),
        ("policies = []", "policies", "is not a table of tables"),
        ("[[services]]\ncalls = []", "services[0].name", "is missing; expected a text"),
        ("services = 4", "services", "write [[services]]"),
        (service("calls = ['paymnts']"), "services.orders.calls", "'paymnts' is not a declared service"),
        (service("calls = ['orders']"), "services.orders.calls", "calls itself"),
        (service("calls = 'db'"), "services.orders.calls", "'db' is not a list"),
        (service("policy = 'fsat'\n[policies.fast]"), "services.orders.policy", "'fsat' is not a declared policy"),
        (service("probe_path = 'health'"), "services.orders.probe_path", "must begin with a slash"),
        (service("consistency_path = 'same'"), "services.orders.consistency_path", "must begin with a slash"),
        (
            "[plane]\nname = 'orders'\n" + service("consistency_path = '/same'"),
            "services.orders.consistency_path",
            "makes no calls to itself",
        ),
        (service() + "\n" + service(), "services.orders.name", "declared twice"),
        ("[[services]]\nname = 'a b'", "services.a b.name", "is used as a host name"),
        (service(endpoint="name = 'a', url = 'ftp://h:1'"), "services.orders.endpoints.a.url", "has scheme 'ftp'"),
        (service(endpoint="name = 'a', url = 'http://:1'"), "services.orders.endpoints.a.url", "has no host"),
        (service(endpoint="name = 'a', url = 'http://h:99999'"), "services.orders.endpoints.a.url", "not a URL"),
        (service(endpoint="name = 'a', url = 'http://h:1/x'"), "services.orders.endpoints.a.url", "more than scheme"),
        (service(endpoint="name = 'a', url = 'http://u:p@h:1'"), "services.orders.endpoints.a.url", "credentials"),
        (service(endpoint="name = 'a', uri = 'x'"), "services.orders.endpoints.a.uri", "did you mean 'url'?"),
        ("[admin]\nlisten = '0.0.0.0:9911'", "admin.listen", "admin.allow_remote = true"),
        ("[admin]\nlisten = '127.0.0.1'", "admin.listen", "needs a port"),
        ("[admin]\nlisten = '::1:80'", "admin.listen", "in brackets"),
        ("[gateway]\nlisten = ':80'\nroutes = {'/a' = 'a'}", "gateway.listen", "needs a host"),
        ("[gateway]\nlisten = 'h:x'\nroutes = {'/a' = 'a'}", "gateway.listen", "port 'x' is not a number"),
        ("[gateway]", "gateway.routes", "is empty"),
        ("[gateway]\nlisten = '127.0.0.1:9911'\nroutes = {'/a' = 'a'}", "gateway.listen", "two ports"),
        ("[gateway]\nroutes = {'a' = 'a'}\n[[services]]\nname='a'", "gateway.routes.'a'", "no endpoints"),
        ("[gateway]\nroutes = {'/a' = 'b'}", "gateway.routes.'/a'", "'b' is not a declared service"),
        ("[gateway]\nroutes = {'/a' = 'gateway'}\n[[services]]\nname='gateway'", "gateway.routes.'/a'", "itself"),
    ],
)
def test_what_is_wrong_is_refused_by_name(text: str, key: str, says: str) -> None:
    """The message names the key, the value and what would be right."""
    assert says in problems(text)[key]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("rate_per_s = 1e-7", "policies.p.rate_per_s"),
        ("rate_per_s = 0.0003\nrate_burst = 1000000", "policies.p.rate_burst"),
        ("open_s = 1e-10", "policies.p.open_s"),
    ],
)
def test_what_the_compiled_guard_would_refuse_is_refused_by_its_key(line: str, key: str) -> None:
    """A number in its field's range can still be out of the guard's."""
    assert list(problems(f"[policies.p]\n{line}\n")) == [key]


def test_all_problems_come_at_once() -> None:
    """A person corrects a file in one go, not one line a run."""
    found = problems("[plane]\nmode = 'x'\n[admin]\nlisten = 'y'\n[policies.default]\nattempts = 0\nfoo = 1")
    assert set(found) == {"plane.mode", "admin.listen", "policies.default.attempts", "policies.default.foo"}


def test_a_remote_admin_must_be_meant() -> None:
    """`allow_remote = true` is the one way to an admin endpoint that others can reach."""
    assert parse_config("[admin]\nlisten = '0.0.0.0:1'\nallow_remote = true").admin.listen == "0.0.0.0:1"


def test_what_is_not_toml_says_where() -> None:
    """A syntax error names its line."""
    with pytest.raises(ConfigError, match="line 2"):
        parse_config("[plane]\nname = =")


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """Missing, a folder, not text, too large: each a ConfigError naming the file."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    large = tmp_path / "large"
    large.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    for path, says in (
        (tmp_path / "no", "No such file"),
        (tmp_path, "directory"),
        (binary, "UTF-8"),
        (large, "larger"),
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            load_config(path, {})
        assert str(path) in str(caught.value)


def test_the_environment_overrides_the_file() -> None:
    """CONTROLPLANE_<SECTION>_<KEY> wins, converted to its type; its paths are relative to the working directory."""
    environ = {
        "CONTROLPLANE_PLANE_MODE": "enforce",
        "CONTROLPLANE_RESPONSE_PENALTY_S": "2.5",
        "CONTROLPLANE_RESPONSE_RAMP_PERCENT": "20,60",
        "CONTROLPLANE_ADMIN_ALLOW_REMOTE": "true",
        "CONTROLPLANE_JOURNAL_PATH": "here.db",
        "CONTROLPLANE_GATEWAY_LISTEN": "127.0.0.1:0",
        "PATH": "/bin",
    }
    config = parse_config(GOOD, environ)
    assert config.plane.mode == "enforce"
    assert config.response.penalty_s == 2.5
    assert config.response.ramp_percent == (20, 60)
    assert config.admin.allow_remote
    assert config.journal.path == str(Path.cwd() / "here.db")
    assert config.gateway is not None
    assert config.gateway.listen == "127.0.0.1:0"


def test_a_wrong_override_is_refused_by_name() -> None:
    """A misspelt or badly typed variable of a known section is a problem like any other."""
    found = problems("", {"CONTROLPLANE_ADMIN_LISTN": "x", "CONTROLPLANE_RESPONSE_LEASE_S": "soon"})
    assert "did you mean 'LISTEN'?" in found["CONTROLPLANE_ADMIN_LISTN"]
    assert "'soon' is not a number" in found["CONTROLPLANE_RESPONSE_LEASE_S"]


def test_the_variables_kubernetes_adds_are_not_ours() -> None:
    """A Kubernetes service named controlplane-admin must not stop its own pods."""
    environ = {
        "CONTROLPLANE_ADMIN_SERVICE_HOST": "10.0.0.1",
        "CONTROLPLANE_ADMIN_SERVICE_PORT_HTTP": "80",
        "CONTROLPLANE_ADMIN_PORT": "tcp://10.0.0.1:80",
        "CONTROLPLANE_ADMIN_PORT_80_TCP_ADDR": "10.0.0.1",
        "CONTROLPLANE_OTHER": "x",
    }
    assert parse_config("", environ) == parse_config("")


def test_this_process_is_part_of_the_topology() -> None:
    """What is not said about it is read off the rest: it calls what it routes to, else every service."""
    gateway = parse_config(GOOD).topology()
    assert gateway.entry == "gateway"
    assert gateway.edges() == (("gateway", "orders"), ("orders", "db"))
    shop = parse_config("[plane]\nname = 'shop'\n[[services]]\nname = 'a'\n[[services]]\nname = 'b'").topology()
    assert shop.edges() == (("shop", "a"), ("shop", "b"))
    declared = parse_config("[plane]\nname = 'a'\n[[services]]\nname = 'a'\ncalls = ['b']\n[[services]]\nname = 'b'")
    assert declared.topology().services == declared.services


TOML_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
KEYS = st.sampled_from(["plane", "admin", "services", "policies", "gateway", "response", "name", "url", "endpoints"])


TABLES = st.dictionaries(KEYS, TOML_LIKE, max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, TOML_LIKE | TABLES | st.lists(TABLES, max_size=2), max_size=4))
def test_no_file_makes_the_reader_stumble(raw: dict[str, object]) -> None:
    """Whatever a file holds, the answer is a Config or a list of problems."""
    from controlplane.config.check import cross_check
    from controlplane.config.convert import Problems, convert_struct

    found = Problems("")
    config = convert_struct(raw, Config, found)
    cross_check(config, found)
    assert isinstance(config, Config)


# the token file


def test_a_token_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """The first start makes it, with mode 0600 whatever the umask; later ones read it."""
    path = tmp_path / "token"
    before = os.umask(0)
    try:
        token = ensure_token(str(path))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 40
    assert ensure_token(str(path)) == token == read_token(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["token"]


def test_a_token_others_may_read_is_refused(tmp_path: Path) -> None:
    """A token that may have leaked is not used; the message says how to go on."""
    path = tmp_path / "token"
    path.write_text("x" * 40)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        ensure_token(str(path))


@pytest.mark.parametrize("content", ["", "short", "two words " * 4, "\x00" * 40])
def test_what_is_no_token_is_refused(tmp_path: Path, content: str) -> None:
    """An empty or guessable token is no token."""
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="holds no token"):
        read_token(str(path))


def test_a_token_in_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    """Neither a traceback nor a silent default."""
    with pytest.raises(ConfigError, match="cannot be written"):
        ensure_token(str(tmp_path / "no" / "token"))


REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "configuration.md"


def test_the_example_of_the_reference_is_good() -> None:
    """What the page shows can be used as it is."""
    example = REFERENCE.read_text().partition("```toml\n")[2].partition("```")[0]
    assert parse_config(example).topology().edges()


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("[plane]", PlaneSection),
        ("[journal]", JournalSection),
        ("[admin]", AdminSection),
        ("[gateway]", GatewaySection),
        ("[otlp]", OtlpSection),
        ("[prometheus]", PrometheusSection),
        ("[alerts]", AlertsSection),
        ("[drills]", DrillsSection),
        ("[response]", ResponsePolicy),
        ("[policies.NAME]", GuardPolicy),
    ],
)
def test_the_reference_lists_every_key_with_its_default(heading: str, kind: type[msgspec.Struct]) -> None:
    """A key that is added, renamed or given another default is so in the documentation, too."""
    section = REFERENCE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", section, re.MULTILINE))
    defaults = json.loads(msgspec.json.encode(kind()))
    defaults.pop("mode") if kind is ResponsePolicy else None
    assert {key: json.loads(value) for key, value in rows.items()} == defaults
