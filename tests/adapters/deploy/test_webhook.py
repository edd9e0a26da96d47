"""The webhook deployer against a real HTTP server on loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controlplane.adapters.deploy.webhook import POSTS_MAX, WebhookDeployer
from tests.adapters.deploy.orders import ROLL_BACK, roll_back

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

Answer = tuple[int, dict[str, str], bytes]


def answer(code: int, body: Any = None, **headers: str) -> Answer:
    return code, headers, b"" if body is None else json.dumps(body).encode()


class Deploy:
    """A deployer's HTTP interface that gives `answers` one after the other, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.url = ""

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def serving(deploy: Deploy) -> Iterator[Deploy]:
    """Serve it on a loopback port until the block ends."""

    class Asked(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            deploy.asked.append((self.command, self.path, headers, json.loads(body or b"null")))
            code, more, content = deploy.next()
            self.send_response(code)
            for name, value in {**more, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815  the base class names it so

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.daemon_threads = True
    deploy.url = f"http://127.0.0.1:{server.server_port}/rollback"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield deploy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asking(deploy: Deploy, **more: Any) -> WebhookDeployer:
    return WebhookDeployer(deploy.url, **({"timeout_s": 60.0, "poll_s": 0.01} | more))


async def test_it_is_asked_with_all_that_it_needs_to_know() -> None:
    """Who, from what, to what, why; the token as a bearer; a key that makes repeats one."""
    with serving(Deploy(answer(200))) as deploy:
        assert await asking(deploy, token="sesame").roll_back(ROLL_BACK) == (True, f"{deploy.url} answers 200")
    (method, path, headers, body), *more = deploy.asked
    assert (method, path, more) == ("POST", "/rollback", [])
    assert headers["authorization"] == "Bearer sesame"
    assert headers["idempotency-key"].startswith("c7-")
    assert body == {
        "service": "cart",
        "version": "v2",
        "to": "v1",
        "command": "c7",
        "incident": "i1",
        "reason": "every endpoint that runs version v2 was found bad",
    }


async def test_an_accepted_roll_back_is_asked_about_until_it_ends() -> None:
    """Running, an error of the server in between, then the end with its reason."""
    script = (
        answer(202, {"status_url": "/rollback/7"}),
        answer(200, {"state": "running"}),
        answer(503),
        answer(200, {"state": "succeeded", "reason": "revision 41 serves", "more": 1}),
    )
    with serving(Deploy(*script)) as deploy:
        assert await asking(deploy).roll_back(ROLL_BACK) == (True, "revision 41 serves")
    assert [asked[:2] for asked in deploy.asked] == [("POST", "/rollback"), *[("GET", "/rollback/7")] * 3]


async def test_a_location_says_where_to_ask_as_well() -> None:
    """As HTTP has it for 202; and the end may be a failure."""
    script = (answer(202, Location="/jobs/1"), answer(200, {"state": "failed", "reason": "no such revision"}))
    with serving(Deploy(*script)) as deploy:
        assert await asking(deploy).roll_back(ROLL_BACK) == (False, "no such revision")
    assert deploy.asked[1][1] == "/jobs/1"


async def test_a_server_in_trouble_is_asked_again_with_the_same_key() -> None:
    """So that what it did take in is not done twice; another roll-back has another key."""
    with serving(Deploy(answer(503), answer(429), answer(204))) as deploy:
        deployer = asking(deploy)
        assert (await deployer.roll_back(ROLL_BACK))[0]
        assert (await deployer.roll_back(roll_back(id="c8")))[0]
    keys = [headers["idempotency-key"] for _, _, headers, _ in deploy.asked]
    assert len(set(keys[:3])) == 1
    assert keys[3] not in keys[:3]


async def test_it_gives_up_after_a_few_times() -> None:
    """With what was said last."""
    with serving(Deploy(answer(500, "on fire"))) as deploy:
        ok, reason = await asking(deploy, poll_s=0.001).roll_back(ROLL_BACK)
    assert (ok, reason) == (False, f'{deploy.url} answers 500: "on fire"; asked {POSTS_MAX} times')
    assert len(deploy.asked) == POSTS_MAX


async def test_a_refusal_is_final() -> None:
    """What is wrong now is wrong the second time; redirects are not followed, with our token in hand."""
    for code in (302, 403, 404):
        with serving(Deploy(answer(code, "no", Location="/elsewhere"))) as deploy:
            ok, reason = await asking(deploy).roll_back(ROLL_BACK)
        assert (ok, len(deploy.asked)) == (False, 1)
        assert f"answers {code}" in reason


async def test_a_status_somewhere_else_is_not_asked() -> None:
    """An answer must not send us, and our token, to another place."""
    with serving(Deploy(answer(202, {"status_url": "http://127.0.0.2:1/steal"}))) as deploy:
        ok, reason = await asking(deploy, token="sesame").roll_back(ROLL_BACK)
    assert not ok
    assert "another place" in reason


async def test_an_end_that_nobody_can_tell_is_a_failure() -> None:
    """Accepted without a place to ask; a state that we do not know; an end that does not come in time."""
    with serving(Deploy(answer(202))) as deploy:
        assert not (await asking(deploy).roll_back(ROLL_BACK))[0]
    with serving(Deploy(answer(202, {"status_url": "/s"}), answer(200, {"state": "perhaps"}))) as deploy:
        ok, reason = await asking(deploy).roll_back(ROLL_BACK)
        assert (ok, "no state that is known" in reason) == (False, True)
    with serving(Deploy(answer(202, {"status_url": "/s"}), answer(200, {"state": "running"}))) as deploy:
        ok, reason = await asking(deploy, timeout_s=0.2).roll_back(ROLL_BACK)
        assert (ok, reason) == (False, f"{deploy.url} has not said within 0.2 s how it ended")


async def test_nobody_there_is_a_failure_with_its_name() -> None:
    """A port that refuses."""
    with serving(Deploy(answer(200))) as deploy:
        url = deploy.url
    ok, reason = await WebhookDeployer(url, timeout_s=60.0, poll_s=0.001).roll_back(ROLL_BACK)
    assert not ok
    assert "does not answer: ConnectError" in reason
