"""The conversation with a runtime API: answers come out whole, and a broken one is never used again."""

from pathlib import Path

import anyio
import pytest

from controlplane.adapters.proxies.haproxy.session import ProxyGone, open_session
from tests.adapters.proxies.haproxy.runtime import Runtime, served

pytestmark = pytest.mark.anyio


async def test_answers_come_out_whole_and_in_order(tmp_path: Path) -> None:
    """Empty ones, long ones and refusals, asked by several tasks at once."""
    runtime = Runtime()
    runtime.servers = {f"orders/o{n}": ["0", "10", "0", "0", "UP", "100", "L4OK"] for n in range(5_000)}
    async with served(runtime, tmp_path) as path, open_session(path) as session, anyio.create_task_group() as tasks:

        async def hold(name: str) -> None:
            assert await session.ask(f"controlplane hold orders/{name} 1000 0") == "ok"
            assert len((await session.ask("show stat -1 4 -1")).splitlines()) == 5_001

        assert await session.ask("controlplane list") == ""
        for number in range(4):
            tasks.start_soon(hold, f"o{number}")
    assert len(runtime.held) == 4


async def test_an_answer_in_pieces_is_one(tmp_path: Path) -> None:
    """Where the pieces end says nothing, not even in the middle of a prompt."""
    runtime = Runtime()
    async with served(runtime, tmp_path) as path, open_session(path) as session:
        listing = "".join(f"hold orders/o{n} 1000 0\n" for n in range(3))

        def in_pieces(command: str) -> bytes | None:
            return (listing + "\n").encode() if command == "controlplane list" else None

        runtime.answer = in_pieces
        async with anyio.create_task_group() as tasks:
            answers: list[str] = []

            async def ask() -> None:
                answers.append(await session.ask("controlplane list"))

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert answers == []
            runtime.answer = lambda _: b"> "
            await session._stream.send(b"second half\n")
        assert answers == [listing.strip("\n")]


async def test_more_than_one_command_is_refused(tmp_path: Path) -> None:
    """Each would have a prompt of its own, and answers would go out of step."""
    async with served(Runtime(), tmp_path) as path, open_session(path) as session:
        for command in ("show info;show stat", "show info\nshow stat"):
            with pytest.raises(ValueError, match="more than one command"):
                await session.ask(command)


async def test_an_answer_that_does_not_come_ends_the_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Come later, it would be taken for the next one's."""
    monkeypatch.setattr("controlplane.adapters.proxies.haproxy.session.ANSWER_S", 0.1)
    runtime = Runtime()
    async with served(runtime, tmp_path) as path, open_session(path) as session:
        runtime.answer = lambda _: b"never a prompt"
        for _ in range(2):
            with pytest.raises(ProxyGone, match=r"no answer to 'show' within 0\.1 s"):
                await session.ask("show info")
            runtime.answer = lambda _: None


async def test_who_is_cancelled_waits_for_the_answer(tmp_path: Path) -> None:
    """So that the next one gets its own."""
    runtime = Runtime()
    async with served(runtime, tmp_path) as path, open_session(path) as session:
        runtime.answer = lambda _: b"Pid: 1\n"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.ask, "show info")
            with anyio.fail_after(10):
                while "show info" not in runtime.asked:
                    await anyio.sleep(0.005)  # real time: sockets are
            tasks.cancel_scope.cancel()
            runtime.answer = lambda _: None
            with anyio.CancelScope(shield=True):
                await runtime.streams[-1].send(b"the rest\n\n> ")
        assert await session.ask("controlplane list") == ""
        assert "Pid: 1" in await session.ask("show info")


async def test_what_breaks_is_said(tmp_path: Path) -> None:
    """Nobody there, somebody who hangs up."""
    with pytest.raises(ProxyGone, match=r"none\.sock cannot be reached: No such file"):
        async with open_session(str(tmp_path / "none.sock")):
            pass
    with pytest.raises(ProxyGone, match=r"127\.0\.0\.1:1 cannot be reached"):
        async with open_session("127.0.0.1:1"):
            pass
    runtime = Runtime()
    async with served(runtime, tmp_path) as path, open_session(path) as session:
        await session._stream.aclose()
        with pytest.raises(ProxyGone, match="the connection broke"):
            await session.ask("show info")
