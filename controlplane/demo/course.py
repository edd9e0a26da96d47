"""The whole course, from signals and temporary files to table and exit status."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

import anyio
import anyio.abc
import msgspec

from controlplane.demo.drill import Drill, running
from controlplane.demo.fault import FAULTS
from controlplane.demo.front import passes, why_not
from controlplane.demo.progress import Progress
from controlplane.demo.report import document, line, table
from controlplane.demo.result import Results, Trial
from controlplane.demo.supervise import ChildDied
from controlplane.testbed.child import NoProxy

INTERRUPTED = 130


class _Interrupted(Exception):
    pass


def course(args: argparse.Namespace) -> int:
    """The exit status of `controlplane demo`."""
    verdict: list[int] = []  # once known, Ctrl-C no longer changes it: with --keep that is how the demo ends
    try:
        anyio.run(_watched, args, verdict, backend="asyncio", backend_options={"use_uvloop": True})
    except BaseExceptionGroup as group:
        interrupted, rest = group.split(_Interrupted)
        if interrupted is not None:
            return verdict[0] if verdict else INTERRUPTED
        died, rest = group.split((ChildDied, NoProxy))
        if rest is not None:
            raise
        assert died is not None
        for told in dict.fromkeys(str(error) for error in _leaves(died)):
            print(f"controlplane demo: {told}", file=sys.stderr)
        return 1
    return verdict[0]


def _leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _watched(args: argparse.Namespace, verdict: list[int]) -> None:
    """Run until done or until a signal; either way everything is taken down."""
    async with anyio.create_task_group() as tasks:
        await tasks.start(_until_signal)
        with tempfile.TemporaryDirectory(prefix="controlplane-demo-") as directory:
            await _course(args, Path(directory), verdict)
        tasks.cancel_scope.cancel()


async def _until_signal(*, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            raise _Interrupted


async def _course(args: argparse.Namespace, directory: Path, verdict: list[int]) -> None:
    progress = Progress()
    began = anyio.current_time()
    async with running(
        directory, rate=args.rate, seed=args.seed, progress=progress, data_plane=args.data_plane
    ) as drill:
        healthy = await drill.healthy(args.healthy_s)
        trials = []
        left_out = []
        for number, fault in enumerate(FAULTS):
            if args.only and fault.name not in args.only:
                continue
            if args.data_plane != "in-process" and not passes(fault):
                left_out.append(f"{fault.name}: {why_not(fault)}")
                progress.say(f"left out: {left_out[-1]}")
                continue
            # seeds differ from fault to fault, never between the two runs of one
            seed = args.seed + 1 + number
            observed = await drill.run(fault, "observe", seed=seed)
            trials.append(Trial(fault, observed, await drill.run(fault, "enforce", seed=seed), args.data_plane))
            progress.say(line(trials[-1]))
        seconds = anyio.current_time() - began
        results = Results(
            healthy=healthy,
            trials=tuple(trials),
            rate=args.rate,
            seed=args.seed,
            seconds=seconds,
            data_plane=args.data_plane,
            left_out=tuple(left_out),
        )
        print(table(results), flush=True)
        if args.json is not None:
            text = msgspec.json.format(msgspec.json.encode(document(results)), indent=2)
            await anyio.Path(args.json).write_bytes(text + b"\n")
        verdict.append(1 if results.troubles() else 0)
        if args.keep:
            await _keep(drill)


async def _keep(drill: Drill) -> None:
    print(
        f"\nthe mesh is still running. admin endpoint: http://{drill.admin.admin}/  token: {drill.admin.token_file}\n"
        f'    curl -H "Authorization: Bearer $(cat {drill.admin.token_file})" http://{drill.admin.admin}/v1/incidents\n'
        "stop it with Ctrl-C",
        flush=True,
    )
    await anyio.sleep_forever()
