"""Configuration files: one TOML file and the environment become a `Config`, or one `ConfigError` naming every problem.

Law of this room: nothing is guessed and nothing is half taken. Every problem names its key, the value found and what
would be right; either the whole file is good or nothing has changed. This room starts fast: `controlplane check` must
answer before a person notices, so heavy modules stay out.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from controlplane.config.check import cross_check
from controlplane.config.convert import Problems, convert_struct, place_overrides
from controlplane.config.playbooks import take_playbooks
from controlplane.model.config import Config
from controlplane.model.errors import ConfigError

__all__ = ["load_config", "load_linted", "parse_config"]

FILE_BYTES_MAX = 4 * 1024 * 1024  # ten thousand endpoints take about 1 MiB; beyond this somebody named the wrong file


def load_config(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration in `path` with the overrides in `environ`.

    Relative paths inside the file are relative to the file, those in the environment to the working directory.
    Raises  ConfigError; its `problems` lists each one.
    """
    source = os.fspath(path)
    try:
        if Path(source).stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"is larger than {FILE_BYTES_MAX} bytes; this is not a configuration file", source=source)
        text = Path(source).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 (byte {error.start}); a TOML file must be", source=source) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", source=source) from error
    return parse_config(text, environ, source=source)


def load_linted(
    path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ
) -> tuple[Config, tuple[ConfigError, ...]]:
    """`load_config`, and what is wrong with its playbooks as things are declared: they stop nobody from starting."""
    from controlplane.config.lint import linted

    config = load_config(path, environ)
    return config, linted(config, os.fspath(path)) if config.playbooks else ()


def parse_config(text: str, environ: Mapping[str, str] | None = None, *, source: str = "") -> Config:
    """The configuration in `text`. Raises ConfigError; its `problems` lists each one."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", source=source) from error
    problems = Problems(source)
    base = Path(source).absolute().parent if source else Path.cwd()
    _anchor(raw, base)
    place_overrides(raw, environ or {}, problems)
    _anchor(raw, Path.cwd())
    _mode_in_response(raw, problems)
    playbooks = take_playbooks(raw, text, source, problems) if "playbooks" in raw else ()
    config = msgspec.structs.replace(convert_struct(raw, Config, problems), playbooks=playbooks)
    cross_check(config, problems)
    problems.raise_if_any()
    return config


def _anchor(raw: dict[str, Any], base: Path) -> None:
    """Make the paths of the file absolute, so that a later change of directory does not move the journal."""
    raw.setdefault("admin", {})
    raw.setdefault("drills", {})
    for section, key, default in (
        ("journal", "path", ""),
        ("admin", "token_file", "controlplane.token"),
        ("prometheus", "token_file", ""),
        ("drills", "path", "controlplane.drills.jsonl"),
    ):
        table = raw.get(section)
        if not isinstance(table, dict):
            continue
        value = table.get(key, default)
        if isinstance(value, str) and value:
            table[key] = str(base / value)
    for name in ("deployers", "notifiers"):
        tables = raw.get(name)
        for table in tables.values() if isinstance(tables, dict) else ():
            if isinstance(table, dict) and isinstance(table.get("token_file"), str) and table["token_file"]:
                table["token_file"] = str(base / table["token_file"])


def _mode_in_response(raw: dict[str, Any], problems: Problems) -> None:
    table = raw.get("response")
    if isinstance(table, dict) and "mode" in table:
        problems.add("response.mode", f"{table['mode']!r}: the mode is set in [plane], as plane.mode")
        raw["response"] = {key: value for key, value in table.items() if key != "mode"}
