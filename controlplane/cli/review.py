"""`controlplane explain` and `controlplane report`: one incident, asked of a running process or read from a journal.

With `--journal` nothing needs to run: the file is read beside its owner, if it has one.
"""

import argparse
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from controlplane.cli.client import AdminClient, printable
from controlplane.decide.review.case import Case
from controlplane.model.errors import ConfigError, ControlPlaneError
from controlplane.model.unit import IncidentId

NAMED_MAX = 10  # ids listed to somebody who named none of them


def explain(args: argparse.Namespace) -> int:
    """One incident in sentences, and its timeline."""
    answer = _explained(_case(args.journal, args.id)) if args.journal else _asked(args, "explain")
    if args.output == "json":
        print(json.dumps(answer, indent=2))
        return 0
    for line in answer["explanation"]:
        print(printable(line))
    print("\ntimeline (seconds after the deciding signal)")
    for line in answer["timeline"]:
        print(f"  {line['after_s']:>10.3f}  {printable(line['what'])}")
    return 0


def report(args: argparse.Namespace) -> int:
    """One incident as a Markdown report; with `--plot` its timeline as SVG beside it."""
    if args.plot and not args.output_file:
        raise ConfigError("needs -o FILE.md, beside which the picture is written", key="--plot")
    picture = Path(args.output_file).with_suffix(".svg") if args.plot else None
    address = quote(picture.name, safe="") if picture else ""
    if args.journal:
        from controlplane.decide.review.picture import draw
        from controlplane.decide.review.report import report as write

        case = _case(args.journal, args.id)
        text, drawn = write(case, picture=address), draw(case) if picture else ""
    else:
        answer = _asked(args, f"report?picture={quote(address, safe='')}" if picture else "report")
        text, drawn = answer["report"], answer["picture"]
    if picture is not None:
        _write(picture, drawn)
    if args.output_file:
        _write(Path(args.output_file), text)
        print(args.output_file)
    else:
        print(text, end="")
    return 0


def _asked(args: argparse.Namespace, what: str) -> Any:
    return AdminClient.of(args).get(f"/v1/incidents/{quote(args.id, safe='')}/{what}")


def _explained(case: Case) -> dict[str, Any]:
    """What the admin API answers, from a file and without its server."""
    from controlplane.decide.review.explain import explain as sentences
    from controlplane.decide.review.wall import utc

    lines = [{"at": utc(one.wall_ns), "after_s": case.after_s(one.wall_ns), "what": one.what} for one in case.lines]
    return {"id": case.incident.id, "explanation": sentences(case.incident, case), "timeline": lines}


def _case(journal: str, name: str) -> Case:
    """The incident of that name in the file. Raises ConfigError that names those there are."""
    from controlplane.adapters.stores.reader import read_records
    from controlplane.decide.review.case import concerns, family, recall

    merges = read_records(journal, lambda text: '"incident_merged"' in text)
    concerned = family(merges, IncidentId(name))
    needles = [f'"incident":{json.dumps(one)}' for one in concerned]
    needles += [f'"key":{json.dumps(one)[:-1]}:' for one in concerned]  # that a notice about it was delivered
    general = ('"epoch_started"', '"order_taken"', '"journal_gap"')
    records = read_records(journal, lambda text: any(needle in text for needle in (*needles, *general)))
    case = recall((record for record in records if concerns(record, concerned)), IncidentId(name))
    if case is None:
        opened = read_records(journal, lambda text: '"incident_opened"' in text)
        known = [str(record.incident) for record in opened if hasattr(record, "incident")]
        listed = f"the newest of {len(known)}: {', '.join(known[-NAMED_MAX:])}" if known else "it has none"
        raise ConfigError(f'has no incident "{printable(name[:80])}"; {listed}', key="INCIDENT", source=journal)
    return case


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ControlPlaneError(f"{path}: cannot be written: {error.strerror or error}") from None
