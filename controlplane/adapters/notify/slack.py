"""Notices as messages in Slack: by a bot into a channel, an incident in one thread, or by an incoming webhook.

What gathers is one message. Slack has no key against duplicates: the ids stand in the message, for people, and with a
bot's token also in its metadata. The thread of an incident is known until this process ends; after a restart its next
message begins a new one. Sources: Slack's pages chat.postMessage, incoming webhooks, rate limits, formatting.
"""

from collections.abc import Sequence

import msgspec

from controlplane.adapters.notify.post import Poster
from controlplane.model.errors import NotifyError
from controlplane.model.notice import Notice

API = "https://slack.com/api/chat.postMessage"
TEXT_MAX = 3000  # of a section block
LINES_MAX = 20
THREADS_MAX = 1000  # incidents whose thread is remembered
LATER = ("ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")
MARKS = {"critical": ":rotating_light:", "warning": ":warning:", "info": ":information_source:"}


class Answer(msgspec.Struct, frozen=True):
    """What the API says of a message. Fields that we do not know are its own."""

    ok: bool = False
    error: str = ""
    ts: str = ""


class SlackNotifier:
    """Messages by `token` into `channel`; without a channel `token` is an incoming webhook's URL."""

    def __init__(self, *, token: str, channel: str, source: str, poster: Poster, url: str = "") -> None:
        self._token, self._channel, self._source, self._poster = token, channel, source, poster
        self._url = url or API
        self._threads: dict[str, str] = {}

    async def notify_group(self, notices: Sequence[Notice]) -> None:
        """Deliver them as one message. Raises NotifyError."""
        message = message_of(notices, self._source)
        if not self._channel:
            await self._poster.post(self._token, msgspec.json.encode(message), {"content-type": "application/json"})
            return
        group = notices[0].group
        message["channel"] = self._channel
        message["metadata"] = {
            "event_type": "controlplane_notices",
            "event_payload": {"ids": [notice.id for notice in notices], "group": group},
        }
        if group in self._threads:
            message["thread_ts"] = self._threads[group]
            # who reads the channel and not the thread must see what is critical, and the end
            message["reply_broadcast"] = any(one.severity == "critical" or one.ends for one in notices)
        headers = {"content-type": "application/json; charset=utf-8", "authorization": f"Bearer {self._token}"}
        body = await self._poster.post(self._url, msgspec.json.encode(message), headers)
        try:
            answer = msgspec.json.decode(body, type=Answer)
        except msgspec.DecodeError:
            raise NotifyError("Slack answers 200 and no JSON", retryable=True) from None
        if not answer.ok:
            raise NotifyError(f"Slack answers {answer.error or 'not ok'}", retryable=answer.error in LATER)
        self._remember(group, answer.ts, over=any(notice.ends for notice in notices))

    def _remember(self, group: str, ts: str, *, over: bool) -> None:
        if over:
            self._threads.pop(group, None)
        elif ts:
            self._threads.setdefault(group, ts)
            while len(self._threads) > THREADS_MAX:
                del self._threads[next(iter(self._threads))]


def message_of(notices: Sequence[Notice], source: str) -> dict[str, object]:
    """The message: its text, which a notification shows, and the same as blocks with the ids below."""
    left_out = len(notices) - LINES_MAX
    lines = [f"{MARKS.get(one.severity, '')} {escaped(one.text)}".strip() for one in notices[-LINES_MAX:]]
    if left_out > 0:
        lines.insert(0, f"{left_out} earlier ones, then")
    text = "\n".join(lines)[:TEXT_MAX]
    ids = ", ".join(one.id for one in notices[-LINES_MAX:])
    return {
        "text": text,
        "unfurl_links": False,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f"{escaped(source)} · {ids}"[:TEXT_MAX]}]},
        ],
    }


def escaped(text: str) -> str:
    """`text` as Slack shows it and nothing else: no mention of everybody, no link, made of somebody's error text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
