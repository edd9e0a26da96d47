"""The page on telling people: its configuration as printed, and its receiver, told by a real webhook."""

import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.notify.build import notifier_of
from controlplane.config import parse_config
from controlplane.decide.escalation import rungs
from controlplane.model.errors import NotifyError
from controlplane.model.escalation import NotifierSection
from controlplane.model.notice import Notice
from controlplane.model.unit import IncidentId, Nanos

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "tell-people.md").read_text()
SECRET = "a-secret-of-the-page"


def test_the_configuration_on_the_page_is_right() -> None:
    """All of its blocks together, and the ladder leads where the page says."""
    config = parse_config("\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)))
    assert {one.kind for one in config.notifiers.values()} == {"slack", "pagerduty", "alertmanager", "webhook"}
    assert [rung.notify for rung in rungs(config.people(), "shop")] == [
        ("chat", "ledger"),
        ("pager",),
        ("pager", "mail"),
    ]
    assert config.services[0].owner == "shop-team"


@pytest.mark.integration
def test_the_receiver_on_the_page_checks_what_it_is_told(tmp_path: Path) -> None:
    """A genuine event is printed once, however often it comes; another secret's is refused for good."""
    program = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert program is not None
    (tmp_path / "receiver.py").write_text(program[1])
    command = [sys.executable, str(tmp_path / "receiver.py"), "0"]
    with subprocess.Popen(command, env={"HOOK_SECRET": SECRET}, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{process.stdout.readline().split()[-1]}/"

            def send(secret: str, number: int) -> None:
                section = NotifierSection(kind="webhook", url=url, timeout_s=10.0)
                hook, _ = notifier_of(section, secret=secret, source="shop", clock=SystemClock())
                name = f"1f-{number}"
                notice = Notice("i1:opened", IncidentId("i1"), "warning", f"notice {number}", Nanos(0), id=name)
                anyio.run(hook.notify_group, [notice])

            send(SECRET, 1)
            send(SECRET, 1)
            with pytest.raises(NotifyError, match="answers 401") as refused:
                send("another-secret-of-somebody", 2)
            assert not refused.value.retryable
            send(SECRET, 3)
            said = [process.stdout.readline() for _ in range(2)]
        finally:
            process.terminate()
    assert said == [f"dev.controlplane.notice.opened i1 warning notice {number}\n" for number in (1, 3)]
