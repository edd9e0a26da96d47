"""What leaves for each kind of notifier, over real HTTP, and what its answers mean."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest

from controlplane.adapters.notify import slack
from controlplane.adapters.notify.build import notifier_of
from controlplane.adapters.notify.post import retry_after_s
from controlplane.adapters.notify.webhook import key_of, signature
from controlplane.model.errors import NotifyError
from controlplane.model.escalation import NotifierSection
from controlplane.model.notice import Notice
from controlplane.model.unit import IncidentId, Nanos
from controlplane.ports import GroupNotifier
from controlplane.testing import VirtualClock
from tests.adapters.notify.receiver import Receiver

pytestmark = pytest.mark.anyio

WALL = 1_700_000_000_000_000_000
SECRET = "a-secret-of-more-than-16"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who listens on loopback."""
    one = Receiver()
    yield one
    one.close()


def told(number: int, what: str, severity: str = "warning", *, service: str = "orders", text: str = "") -> Notice:
    """A notice about incident i1."""
    return Notice(
        f"i1:{what}",
        IncidentId("i1"),
        severity,
        text or f"i1 {what}",
        Nanos(5),
        id=f"18abc-{number}",
        wall_ns=WALL + number,
        since_wall_ns=WALL,
        service=service,
        cause="errors",
    )


def of(kind: str, receiver: Receiver, *, secret: str = SECRET, channel: str = "", path: str = "") -> GroupNotifier:
    """A notifier that posts to `receiver`."""
    section = NotifierSection(kind=kind, url=receiver.url + path, channel=channel, timeout_s=5.0, repeat_s=10.0)  # type: ignore[arg-type]
    return notifier_of(section, secret=secret, source="shop", clock=VirtualClock())[0]


async def failure(notifier: GroupNotifier, *notices: Notice) -> NotifyError:
    with pytest.raises(NotifyError) as raised:
        await notifier.notify_group(notices or (told(1, "opened"),))
    return raised.value


async def test_a_webhook_posts_one_cloudevent_for_each_notice(receiver: Receiver) -> None:
    """All that CloudEvents 1.0 demands, and what of ours a receiver acts on."""
    await of("webhook", receiver, path="/hook").notify_group([told(1, "opened"), told(2, "closed", "info")])
    first, second = receiver.requests
    assert first.path == "/hook"
    assert first.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert first.json == {
        "specversion": "1.0",
        "id": "18abc-1",
        "source": "/controlplane/shop",
        "type": "dev.controlplane.notice.opened",
        "subject": "i1",
        "time": "2023-11-14T22:13:20.000Z",
        "datacontenttype": "application/json",
        "data": {
            "incident": "i1",
            "group": "18abc-i1",
            "severity": "warning",
            "text": "i1 opened",
            "service": "orders",
            "cause": "errors",
            "since": "2023-11-14T22:13:20.000Z",
            "closed": False,
        },
    }
    assert (second.json["id"], second.json["data"]["closed"]) == ("18abc-2", True)


async def test_a_webhook_signs_id_time_and_body(receiver: Receiver) -> None:
    """By the standard's own words: whoever changes one of the three has no signature for it."""
    await of("webhook", receiver).notify_group([told(1, "opened")])
    request = receiver.requests[0]
    name, moment = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    expected = hmac.digest(SECRET.encode(), f"{name}.{moment}.".encode() + request.body, hashlib.sha256)
    assert name == "18abc-1"
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert signature(SECRET.encode(), name, str(int(moment) + 1), request.body) != request.headers["webhook-signature"]
    assert SECRET not in str(request.headers) + request.body.decode()


def test_a_standard_webhooks_secret_is_base64() -> None:
    """`whsec_` means that; what is no base64 after it is refused rather than signed with."""
    assert key_of("whsec_AAECAw==") == bytes(range(4))
    assert key_of("plain-secret") == b"plain-secret"
    with pytest.raises(ValueError, match="not base64"):
        key_of("whsec_no base64!")


async def test_what_a_webhook_has_taken_is_not_sent_again_with_the_rest(receiver: Receiver) -> None:
    """The second of three fails: the next attempt begins there, with the same id."""
    hook = of("webhook", receiver)
    receiver.answers = [(200, {}, b""), (503, {}, b"")]
    notices = [told(1, "opened"), told(2, "contained"), told(3, "closed")]
    assert (await failure(hook, *notices)).retryable
    await hook.notify_group(notices)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [
        "18abc-1",
        "18abc-2",
        "18abc-2",
        "18abc-3",
    ]


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (404, False),
        (410, False),
        (302, False),
        (408, True),
        (429, True),
        (500, True),
        (503, True),
    ],
)
async def test_an_answer_says_whether_it_is_worth_another_try(receiver: Receiver, status: int, retryable: bool) -> None:
    """Refused is refused; too busy, too slow and broken may be well again."""
    receiver.usual = (status, {"location": "http://127.0.0.1:1/"} if status == 302 else {}, b"no\n thanks")
    for kind in ("webhook", "pagerduty", "alertmanager"):
        error = await failure(of(kind, receiver))
        assert error.retryable is retryable
        assert str(error) == f"127.0.0.1 answers {status}: no thanks"


async def test_who_hangs_up_or_is_not_there_is_tried_again(receiver: Receiver) -> None:
    """No answer says nothing about the notice."""
    receiver.usual = (0, {}, b"")
    error = await failure(of("webhook", receiver))
    assert error.retryable
    assert "does not answer" in str(error)


async def test_retry_after_is_read_as_number_and_as_date(receiver: Receiver) -> None:
    """Both forms of RFC 9110; nonsense and the past ask for nothing."""
    receiver.usual = (429, {"retry-after": "17"}, b"")
    assert (await failure(of("pagerduty", receiver))).retry_after_s == 17.0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < retry_after_s(later) <= 30
    assert [retry_after_s(value) for value in ("", "soon", "-3", "Wed, 21 Oct 2015 07:28:00 GMT", "1e9")] == [0.0] * 5


async def test_pagerduty_has_one_alert_for_an_incident(receiver: Receiver) -> None:
    """Triggered, acknowledged and resolved by the same key; a trigger has all that the API demands."""
    pager = of("pagerduty", receiver, secret="0123456789abcdef0123456789abcdef")
    await pager.notify_group([told(1, "opened"), told(2, "escalated", "critical", text="x" * 2000)])
    await pager.notify_group([told(3, "acknowledged", "info")])
    await pager.notify_group([told(4, "closed", "info")])
    trigger, taken, over = (request.json for request in receiver.requests)
    assert {event["dedup_key"] for event in (trigger, taken, over)} == {"controlplane/shop/18abc-i1"}
    assert [event["event_action"] for event in (trigger, taken, over)] == ["trigger", "acknowledge", "resolve"]
    assert {event["routing_key"] for event in (trigger, taken, over)} == {"0123456789abcdef0123456789abcdef"}
    payload = trigger["payload"]
    assert (payload["severity"], payload["source"], payload["component"]) == ("critical", "shop", "orders")
    assert payload["summary"] == "x" * 1024
    assert [line.partition(":")[0] for line in payload["custom_details"]["notices"]] == ["18abc-1", "18abc-2"]


async def test_slack_keeps_an_incident_in_one_thread(receiver: Receiver) -> None:
    """The first message begins it, the others are replies; the end is shown in the channel, too."""
    receiver.usual = (200, {}, b'{"ok": true, "ts": "1700000000.000100"}')
    chat = of("slack", receiver, channel="#incidents")
    await chat.notify_group([told(1, "opened", text="<!channel> a & b")])
    await chat.notify_group([told(2, "contained"), told(3, "waits:x", "info")])
    await chat.notify_group([told(4, "closed", "info")])
    first, second, last = (request.json for request in receiver.requests)
    assert receiver.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert first["channel"] == "#incidents"
    assert "thread_ts" not in first
    assert "&lt;!channel&gt; a &amp; b" in first["text"]  # a failing service's words call nobody
    assert second["thread_ts"] == last["thread_ts"] == "1700000000.000100"
    assert (second["reply_broadcast"], last["reply_broadcast"]) == (False, True)
    assert second["text"].count("\n") == 1
    assert second["metadata"]["event_payload"]["ids"] == ["18abc-2", "18abc-3"]


async def test_slack_says_no_with_200(receiver: Receiver) -> None:
    """`ok` is false: some of its errors pass, others never do."""
    chat = of("slack", receiver, channel="#incidents")
    for code, retryable in (("ratelimited", True), ("channel_not_found", False), ("invalid_auth", False)):
        receiver.usual = (200, {}, f'{{"ok": false, "error": "{code}"}}'.encode())
        error = await failure(chat)
        assert (error.retryable, str(error)) == (retryable, f"Slack answers {code}")


async def test_an_incoming_webhook_s_url_is_a_secret(receiver: Receiver) -> None:
    """It is posted to, and no reason names it: reasons go on record and to others."""
    secret = f"{receiver.url}/services/T000/B000/XXXXXXXX"
    section = NotifierSection(kind="slack", timeout_s=5.0)
    chat, _ = notifier_of(section, secret=secret, source="shop", clock=VirtualClock())
    await chat.notify_group([told(1, "opened")])
    assert receiver.requests[0].path == "/services/T000/B000/XXXXXXXX"
    for usual in ((404, {}, b"no_service"), (0, {}, b"")):
        receiver.usual = usual
        assert "XXXXXXXX" not in str(await failure(chat))
    with pytest.raises(ValueError, match="no URL"):
        notifier_of(section, secret=SECRET, source="shop", clock=VirtualClock())


async def test_alertmanager_is_told_how_things_stand(receiver: Receiver) -> None:
    """An alert with an end in the future; where a label changes the alert of before ends; at last all of it ends."""
    alerts = of("alertmanager", receiver, path="/prefix/")
    await alerts.notify_group([told(1, "opened")])
    await alerts.notify_group([told(2, "escalated", "critical")])
    await alerts.notify_group([told(3, "laid:stock", service="stock")])
    await alerts.notify_group([told(4, "closed", "info", service="stock")])
    opened, worse, moved, over = (request.json for request in receiver.requests)
    assert receiver.requests[0].path == "/prefix/api/v2/alerts"
    assert receiver.requests[0].headers["authorization"] == f"Bearer {SECRET}"

    def seen(posted: list[dict[str, dict[str, str]]]) -> list[tuple[str, str, bool]]:
        now = datetime.fromtimestamp(VirtualClock().wall_ns() / 1e9 + 20, UTC)  # long before it would end itself
        return [
            (one["labels"]["service"], one["labels"]["severity"], datetime.fromisoformat(one["endsAt"]) > now)  # type: ignore[arg-type]
            for one in posted
        ]

    assert seen(opened) == [("orders", "warning", True)]
    assert seen(worse) == [("orders", "critical", True), ("orders", "warning", False)]
    assert seen(moved) == [("stock", "critical", True), ("orders", "critical", False)]
    assert seen(over) == [("stock", "critical", False)]
    assert {one["labels"]["incident"] for posted in (opened, worse, moved, over) for one in posted} == {"18abc-i1"}


async def test_an_endless_answer_is_cut_off(receiver: Receiver) -> None:
    """A receiver that talks for ever costs a bounded read."""
    receiver.usual = (200, {}, b"x" * 1_000_000)
    with anyio.fail_after(5):
        await of("webhook", receiver).notify_group([told(1, "opened")])


def test_a_message_of_many_notices_stays_short() -> None:
    """The newest are shown, the others counted; Slack refuses more than it shows."""
    message = slack.message_of([told(number, f"x:{number}", text="y" * 500) for number in range(100)], "shop")
    text = message["text"]
    assert isinstance(text, str)
    assert text.startswith("80 earlier ones, then")
    assert len(text) <= slack.TEXT_MAX
