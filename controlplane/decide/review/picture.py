"""An incident's timeline as SVG text: phases above, a lane for each target that was held back, users' harm below.

A lane's colour is the share of its traffic that the target got. At most LANES_MAX lanes and MARKS_MAX orders are drawn;
the picture says how many were left out. Names come from anybody: nothing of them becomes markup.
"""

from xml.sax import saxutils

from controlplane.decide.review import timing
from controlplane.decide.review.case import Case
from controlplane.decide.review.wall import lasted, utc
from controlplane.model import record as on

LANES_MAX = 12
MARKS_MAX = 100
WIDTH, LEFT, RIGHT = 1000, 190, 44
HEAD, LANE, GAP = 78, 24, 10
LABEL_MAX = 26
TICKS = 6
INK, PALE, LINE = "#1f2933", "#9aa5b1", "#cbd2d9"
PHASES = ("#dbe4ee", "#c3d3e6", "#a9c1dc", "#8fafd1", "#769dc7", "#5d8bbd")
HELD, FREE, HARM = (208, 52, 44), (214, 237, 218), "#e8871e"


def draw(case: Case) -> str:
    """The picture as SVG text."""
    canvas = _Canvas(case)
    canvas.phases()
    canvas.lanes()
    canvas.waits()
    canvas.harm()
    return canvas.text()


class _Canvas:
    """Lines of SVG, from the top to the bottom."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.until_s = max(timing.end_s(case), 0.001)
        self.parts: list[str] = []
        self.y = float(HEAD)

    def x(self, after_s: float) -> float:
        """Where that time is."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(after_s, 0.0), self.until_s) / self.until_s

    def phases(self) -> None:
        """One bar of all phases, in turn."""
        colours: dict[str, str] = {}
        self._label("phase")
        for span in timing.phases(self.case):
            if span.what == "closed":
                continue
            colour = colours.setdefault(span.what, PHASES[len(colours) % len(PHASES)])
            until_s = self.until_s if span.until_s is None else span.until_s
            self._bar(span.from_s, until_s, colour, f"{span.what}: {span.reason}", span.what)
        self._next()

    def lanes(self) -> None:
        """What each target got of its traffic, and when something was ordered about it."""
        shares = timing.shares(self.case)
        targets = list(dict.fromkeys(one.target for one in shares))
        for target in targets[:LANES_MAX]:
            self._label(target)
            for one in (each for each in shares if each.target == target):
                label = one.stage if one.stage != "ramp" else f"{one.percent} %"
                self._bar(one.from_s, one.until_s, _mixed(one.percent), f"{one.stage}: {one.reason}", label)
            self._marks(target)
            self._next()
        if len(targets) > LANES_MAX:
            self._label(f"and {len(targets) - LANES_MAX} targets more")
            self._next()

    def waits(self) -> None:
        """What recovery waited for."""
        for span in timing.waits(self.case):
            self._label(f"waits: {span.what}")
            until_s = self.until_s if span.until_s is None else span.until_s
            self._bar(span.from_s, until_s, "#f1e2c6", span.reason, span.what)
            self._next()

    def harm(self) -> None:
        """Users' requests that failed or were slow, each count where it was made."""
        found = [
            (self.case.after_s(entry.wall_ns), entry.record.failed + entry.record.slow)
            for entry in self.case.entries
            if isinstance(entry.record, on.ImpactCounted) and entry.record.failed + entry.record.slow
        ]
        if not found:
            return
        self._label("users harmed")
        most = max(count for _, count in found)
        for at_s, count in found:
            height = 3 + (LANE - 3) * count / most
            self.parts.append(
                f'<rect x="{self.x(at_s) - 1:.1f}" y="{self.y + LANE - height:.1f}" width="2" height="{height:.1f}" '
                f'fill="{HARM}"><title>{count} at +{at_s:.3f} s</title></rect>'
            )
        self._next()

    def text(self) -> str:
        """All of it, with title and axis."""
        incident, height = self.case.incident, self.y + 46
        title = f"{incident.id}: {incident.origin}, {incident.cause}"
        below = f"deciding signal {utc(self.case.began_ns)}; {lasted(self.until_s)} are shown"
        size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, Helvetica, Arial, sans-serif">',
            f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
            f'<text x="24" y="32" font-size="18" font-weight="600" fill="{INK}">{_escaped(title)}</text>',
            f'<text x="24" y="52" font-size="12" fill="{INK}">{_escaped(below)}</text>',
            *self._axis(),
            *self.parts,
            "</svg>",
        ]) + "\n"  # fmt: skip

    def _axis(self) -> list[str]:
        lines = []
        for tick in range(TICKS + 1):
            at_s = self.until_s * tick / TICKS
            x = self.x(at_s)
            lines.append(f'<path d="M{x:.1f},{HEAD - 8} V{self.y + 4:.1f}" stroke="{LINE}" stroke-width="1"/>')
            lines.append(
                f'<text x="{x:.1f}" y="{self.y + 20:.1f}" font-size="10" text-anchor="middle" fill="{INK}">'
                f"+{_escaped(lasted(at_s) if tick else '0 s')}</text>"
            )
        return lines

    def _label(self, text: str) -> None:
        shown = text if len(text) <= LABEL_MAX else f"{text[: LABEL_MAX // 2]}…{text[-(LABEL_MAX // 2 - 1) :]}"
        self.parts.append(
            f'<text x="{LEFT - 10}" y="{self.y + 16:.1f}" font-size="11" text-anchor="end" fill="{INK}">'
            f"<title>{_escaped(text)}</title>{_escaped(shown)}</text>"
        )

    def _bar(self, from_s: float, until_s: float, colour: str, title: str, label: str) -> None:
        x, width = self.x(from_s), max(1.0, self.x(until_s) - self.x(from_s))
        self.parts.append(
            f'<g><title>{_escaped(title)}</title><rect x="{x:.1f}" y="{self.y:.1f}" width="{width:.1f}" '
            f'height="{LANE}" fill="{colour}" stroke="#ffffff" stroke-width="1"/>'
        )
        if width > 7 * len(label):
            self.parts.append(f'<text x="{x + 4:.1f}" y="{self.y + 16:.1f}" font-size="10.5">{_escaped(label)}</text>')
        self.parts.append("</g>")

    def _marks(self, target: str) -> None:
        stories = [one for one in timing.stories(self.case) if str(one.command.target) == target]
        for story in stories[:MARKS_MAX]:
            title = f"{type(story.command.intent).__name__.lower()} [{story.command.id}]: {story.outcome}"
            self.parts.append(
                f'<circle cx="{self.x(story.at_s):.1f}" cy="{self.y:.1f}" r="3" fill="{INK}" stroke="{PALE}">'
                f"<title>{_escaped(title)}</title></circle>"
            )

    def _next(self) -> None:
        self.y += LANE + GAP


def _mixed(percent: int) -> str:
    """From held back altogether to all of its traffic."""
    part = percent / 100
    return "rgb({},{},{})".format(*(round(a + (b - a) * part) for a, b in zip(HELD, FREE, strict=True)))


def _escaped(text: str) -> str:
    """`text` as XML may hold it, which forbids control characters altogether."""
    return saxutils.escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))
