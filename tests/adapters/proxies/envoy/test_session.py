"""The protocol of discovery, message by message: who is sent what and when, what an acknowledgement and a refusal
do."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from controlplane.adapters.proxies.envoy.catalog import Catalog, Key, resource
from controlplane.adapters.proxies.envoy.delta import DeltaSession
from controlplane.adapters.proxies.envoy.discovery import CLUSTER, ENDPOINTS, RESOURCE, ROUTES, RUNTIME, Resource
from controlplane.adapters.proxies.envoy.session import NAMES_MAX, UNACKED_MAX, Memory, Session
from controlplane.adapters.proxies.envoy.wire import WireError, as_bytes, as_text, fields, message, text, uint
from controlplane.adapters.proxies.envoy.world import WorldSession


class Answer(NamedTuple):
    """What an answer says: resources with their bodies (None: without one), in order, and names that are no more."""

    type_url: str
    nonce: str
    bodies: dict[str, bytes | None]
    removed: list[str]


class Proxy:
    """The other end of a session, in either variant."""

    def __init__(self, variant: type[Session], catalog: Catalog, *, node: str = "e1", **more: object) -> None:
        self.session = variant(catalog, **more)  # type: ignore[arg-type]
        self.delta, self._node, self._names = variant is DeltaSession, node, dict[str, list[str]]()

    def ask(
        self, type_url: str, *names: str, nonce: str = "", why: str | None = None, known: dict[str, str] | None = None
    ) -> None:
        """Ask for `names` of a type, and no others; with `nonce`, acknowledge or refuse."""
        node = message(1 if self.delta else 2, text(1, self._node))
        status = b"" if why is None else message(7 if self.delta else 6, uint(1, 13), text(2, why))
        before, self._names[type_url] = self._names.get(type_url, []), [*names]
        if self.delta:
            parts = [node, text(2, type_url), *(text(3, name) for name in names if name not in before)]
            parts += [text(4, name) for name in before if name not in names]
            parts += [message(5, text(1, name), text(2, version)) for name, version in (known or {}).items()]
            parts += [text(6, nonce) if nonce else b"", status]
        else:
            version = text(1, "some") if known or nonce else b""
            parts = [
                version,
                node,
                *(text(3, name) for name in names),
                text(4, type_url),
                text(5, nonce) if nonce else b"",
                status,
            ]
        self.session.receive(b"".join(parts))

    def reply(self, answer: Answer, why: str | None = None) -> None:
        """Acknowledge `answer`, or refuse it."""
        self.ask(answer.type_url, *self._names[answer.type_url], nonce=answer.nonce, why=why)

    def take(self) -> Answer | None:
        data = self.session.take()
        return None if data is None else self._read(data)

    def settle(self) -> dict[Key, bytes | None]:
        """Acknowledge until there is nothing more; everything that was sent."""
        got: dict[Key, bytes | None] = {}
        while (answer := self.take()) is not None:
            got.update({(answer.type_url, name): body for name, body in answer.bodies.items()})
            self.reply(answer)
        return got

    def _read(self, data: bytes) -> Answer:
        type_url, nonce, removed = "", "", list[str]()
        bodies: dict[str, bytes | None] = {}
        for number, value in fields(memoryview(data)):
            if number == 4:
                type_url = as_text(value)
            elif number == 5:
                nonce = as_text(value)
            elif number == 6 and self.delta:
                removed.append(as_text(value))
            elif number == 2:
                name, body = self._resource(as_bytes(value))
                bodies[name] = body
        return Answer(type_url, nonce, bodies, removed)

    def _resource(self, data: memoryview) -> tuple[str, bytes | None]:
        if not self.delta:
            any_ = dict(fields(data))
            if as_text(any_[1]) != RESOURCE:
                return bytes(as_bytes(any_[2])).decode().partition("=")[0], bytes(as_bytes(any_[2]))
            data = as_bytes(any_[2])
        found = dict(fields(data))
        body = bytes(as_bytes(dict(fields(as_bytes(found[2])))[2])) if 2 in found else None
        return as_text(found[3]), body


def one(name: str, value: str = "1", *, ttl_ns: int = 0) -> Resource:
    return resource(name, f"{name}={value}".encode(), ttl_ns=ttl_ns)


Connect = Callable[..., Proxy]


@pytest.fixture(params=[WorldSession, DeltaSession], ids=["world", "delta"])
def variant(request: pytest.FixtureRequest) -> type[Session]:
    kind: type[Session] = request.param
    return kind


@pytest.fixture
def catalog() -> Catalog:
    """Endpoints a, b and c."""
    catalog = Catalog()
    catalog.put([(ENDPOINTS, one(name)) for name in "abc"])
    return catalog


def test_what_is_asked_for_is_sent_once(variant: type[Session], catalog: Catalog) -> None:
    """A first request is answered with what it names and there is; acknowledged, it is settled and not sent again."""
    proxy = Proxy(variant, catalog)
    proxy.ask(ENDPOINTS, "a", "b", "nowhere")
    answer = proxy.take()
    assert answer is not None
    assert answer.bodies == {"a": b"a=1", "b": b"b=1"}
    assert not proxy.session.settled([(ENDPOINTS, "a")])
    proxy.reply(answer)
    assert proxy.session.settled([(ENDPOINTS, "a"), (ENDPOINTS, "b"), (ENDPOINTS, "c")])  # c is none of its business
    assert proxy.take() is None


def test_a_change_sends_what_has_changed(variant: type[Session], catalog: Catalog) -> None:
    """One of many endpoints costs one; what nobody asked for costs nothing."""
    proxy = Proxy(variant, catalog)
    proxy.ask(ENDPOINTS, "a", "b")
    proxy.settle()
    proxy.session.touch(catalog.put([(ENDPOINTS, one("b", "2")), (ENDPOINTS, one("c", "2")), (ENDPOINTS, one("a"))]))
    assert proxy.settle() == {(ENDPOINTS, "b"): b"b=2"}


def test_names_come_and_go(variant: type[Session], catalog: Catalog) -> None:
    """A name that is added is sent; one that is given up is not told of any more."""
    proxy = Proxy(variant, catalog)
    proxy.ask(ENDPOINTS, "a")
    proxy.settle()
    proxy.ask(ENDPOINTS, "b", "c", nonce="1")
    assert set(proxy.settle()) == {(ENDPOINTS, "b"), (ENDPOINTS, "c")}
    proxy.session.touch(catalog.put([(ENDPOINTS, one("a", "2"))]))
    assert proxy.take() is None


def test_who_asks_for_everything_gets_it_whole(variant: type[Session], catalog: Catalog) -> None:
    """Clusters without a name are all clusters, those that come later, too; one that goes is left out, or named as
    gone."""
    proxy = Proxy(variant, catalog)
    proxy.ask(CLUSTER)
    empty = proxy.take()
    assert empty is not None  # it waits for an answer, even an empty one
    assert empty.bodies == {}
    proxy.reply(empty)
    proxy.session.touch(catalog.put([(CLUSTER, one("x")), (CLUSTER, one("y"))]))
    assert set(proxy.settle()) == {(CLUSTER, "x"), (CLUSTER, "y")}
    proxy.session.touch(catalog.remove([(CLUSTER, "x")]))
    answer = proxy.take()
    assert answer is not None
    assert (answer.bodies, answer.removed) == (({}, ["x"]) if proxy.delta else ({"y": b"y=1"}, []))
    proxy.reply(answer)
    assert proxy.session.settled([(CLUSTER, "x"), (CLUSTER, "y")])


def test_a_refusal_keeps_the_last_good(variant: type[Session], catalog: Catalog) -> None:
    """What was refused is kept with the proxy's words and not sent again; the next version is."""
    memories: dict[str, Memory] = {}
    proxy = Proxy(variant, catalog, memories=memories)
    proxy.ask(ENDPOINTS, "a")
    proxy.settle()
    proxy.session.touch(catalog.put([(ENDPOINTS, one("a", "bad"))]))
    answer = proxy.take()
    assert answer is not None
    proxy.reply(answer, why="malformed IP address: bad")
    assert proxy.session.refused()[ENDPOINTS, "a"].why == "malformed IP address: bad"
    assert proxy.session.settled([(ENDPOINTS, "a")])
    assert proxy.take() is None
    again = Proxy(variant, catalog, memories=memories)  # the proxy has started again
    again.ask(ENDPOINTS, "a")
    assert again.settle() == {(ENDPOINTS, "a"): b"a=1"}
    again.session.touch(catalog.put([(ENDPOINTS, one("a", "2"))]))
    assert again.settle() == {(ENDPOINTS, "a"): b"a=2"}
    assert again.session.refused() == {}
    stranger = Proxy(variant, catalog, memories=memories, node="e2")
    stranger.ask(ENDPOINTS, "a")
    assert stranger.settle() == {(ENDPOINTS, "a"): b"a=2"}


def test_one_refused_of_many_is_found(variant: type[Session], catalog: Catalog) -> None:
    """Named by the proxy, it alone is refused. If it is not, each goes for itself, and that tells which it was."""
    for why in ("name c: bad", "something is bad"):
        proxy = Proxy(variant, catalog)
        proxy.ask(ENDPOINTS, "a", "b", "c")
        answer = proxy.take()
        assert answer is not None
        proxy.reply(answer, why=why)
        while (answer := proxy.take()) is not None:
            proxy.reply(answer, why=why if "c" in answer.bodies else None)
        assert list(proxy.session.refused()) == [(ENDPOINTS, "c")]
        assert proxy.session.settled([(ENDPOINTS, "a"), (ENDPOINTS, "b")])


def test_a_refused_answer_of_a_whole_type_names_its_resources(variant: type[Session], catalog: Catalog) -> None:
    """Of clusters, those that are not named were taken."""
    catalog.put([(CLUSTER, one("good")), (CLUSTER, one("wrong"))])
    proxy = Proxy(variant, catalog)
    proxy.ask(CLUSTER)
    answer = proxy.take()
    assert answer is not None
    proxy.reply(answer, why="Error adding/updating cluster(s) wrong: no")
    assert list(proxy.session.refused()) == [(CLUSTER, "wrong")]
    assert proxy.session.settled([(CLUSTER, "good")])


def test_a_proxy_that_never_acknowledges_costs_nothing(variant: type[Session], catalog: Catalog) -> None:
    """So many answers are under way at most; then the newest state waits, once. An acknowledgement brings it."""
    proxy = Proxy(variant, catalog)
    proxy.ask(ENDPOINTS, "a")
    answers = []
    for number in range(100):
        proxy.session.touch(catalog.put([(ENDPOINTS, one("a", str(number)))]))
        if (answer := proxy.take()) is not None:
            answers.append(answer)
    assert len(answers) == proxy.session.unacknowledged == UNACKED_MAX
    proxy.reply(answers[0])
    last = proxy.take()
    assert last is not None
    assert last.bodies == {"a": b"a=99"}
    for answer in (*answers[1:], last):
        proxy.reply(answer)
    assert proxy.session.settled([(ENDPOINTS, "a")])


def test_the_newest_acknowledgement_is_one_of_all_before(catalog: Catalog) -> None:
    """In the state of the world a proxy may say only that it has seen the last of several answers."""
    proxy = Proxy(WorldSession, catalog)
    proxy.ask(ENDPOINTS, "a", "b")
    first = proxy.take()
    proxy.session.touch(catalog.put([(ENDPOINTS, one("a", "2"))]))
    second = proxy.take()
    assert first is not None
    assert second is not None
    proxy.reply(second)
    assert proxy.session.unacknowledged == 0
    assert proxy.session.settled([(ENDPOINTS, "a"), (ENDPOINTS, "b")])


def test_acknowledgements_of_nothing_are_ignored(variant: type[Session], catalog: Catalog) -> None:
    """A nonce that was never given acknowledges nothing and refuses nothing."""
    proxy = Proxy(variant, catalog)
    proxy.ask(ENDPOINTS, "a")
    assert proxy.take() is not None
    proxy.ask(ENDPOINTS, "a", nonce="77", why="no")
    assert proxy.session.refused() == {}
    assert not proxy.session.settled([(ENDPOINTS, "a")])


def test_what_expires_is_prolonged_where_it_is_as_wanted(variant: type[Session], catalog: Catalog) -> None:
    """Only what has a time to live and was acknowledged; incremental without its body, else with it."""
    catalog.put([(RUNTIME, one("layer", ttl_ns=15))])
    proxy = Proxy(variant, catalog)
    proxy.ask(ENDPOINTS, "a")
    proxy.ask(RUNTIME, "layer")
    proxy.session.prolong()
    assert proxy.settle() == {(ENDPOINTS, "a"): b"a=1", (RUNTIME, "layer"): b"layer=1"}
    proxy.session.prolong()
    assert proxy.settle() == {(RUNTIME, "layer"): None if proxy.delta else b"layer=1"}
    assert proxy.take() is None
    proxy.session.touch(catalog.put([(RUNTIME, one("layer"))]))
    proxy.session.prolong()
    assert proxy.settle() == {(RUNTIME, "layer"): b"layer=1"}  # for good now, which is another thing
    proxy.session.prolong()
    assert proxy.settle() == {}


def test_nothing_leads_to_what_a_proxy_does_not_have(variant: type[Session], catalog: Catalog) -> None:
    """A layer is what the switch leaves of it, until the proxy has the endpoints that it leads to."""

    def switch(layer: Resource, has: Callable[[str], bool]) -> Resource:
        return layer if has("a") else one("layer", "less")

    catalog.put([(RUNTIME, one("layer", "all"))])
    proxy = Proxy(variant, catalog, switch=switch)
    proxy.ask(RUNTIME, "layer")
    assert proxy.settle() == {(RUNTIME, "layer"): b"layer=less"}
    proxy.ask(ENDPOINTS, "a")
    assert proxy.settle() == {(ENDPOINTS, "a"): b"a=1", (RUNTIME, "layer"): b"layer=all"}
    resumed = Proxy(variant, catalog, switch=switch, node="e9")
    resumed.ask(RUNTIME, "layer", known={"layer": "whatever"})
    assert resumed.settle() == {(RUNTIME, "layer"): b"layer=all"}  # it has lost its stream, and not itself
    resumed.ask(ENDPOINTS, "b")
    assert resumed.settle()[RUNTIME, "layer"] == b"layer=less"  # and as it says now, never had it


def test_clusters_come_before_what_leads_to_them(variant: type[Session], catalog: Catalog) -> None:
    """Whatever the order of the questions, answers come in the order that breaks nothing."""
    catalog.put([(RUNTIME, one("layer")), (ROUTES, one("r")), (CLUSTER, one("a"))])
    proxy = Proxy(variant, catalog)
    for type_url, name in ((RUNTIME, "layer"), (ROUTES, "r"), (ENDPOINTS, "a"), (CLUSTER, "a")):
        proxy.ask(type_url, name)
    order = [answer.type_url for answer in iter(proxy.take, None) if answer is not None]
    assert order == [CLUSTER, ENDPOINTS, ROUTES, RUNTIME]


def test_a_proxy_that_comes_back_is_not_sent_what_it_has() -> None:
    """Incremental, it says what it has: the same versions are not sent again, others are, and what is no more is
    told."""
    catalog = Catalog()
    catalog.put([(CLUSTER, one("same")), (CLUSTER, one("other", "2"))])
    proxy = Proxy(DeltaSession, catalog)
    proxy.ask(CLUSTER, known={"same": one("same").version, "other": one("other").version, "gone": "v"})
    answer = proxy.take()
    assert answer is not None
    assert (answer.bodies, answer.removed) == ({"other": b"other=2"}, ["gone"])
    assert proxy.session.resumed


def test_types_and_numbers_without_end_are_refused(variant: type[Session], catalog: Catalog) -> None:
    """What is not served is not answered and not kept; too many names are no request."""
    proxy = Proxy(variant, catalog)
    for number in range(100):
        proxy.ask(f"type.googleapis.com/x{number}", "a")
    assert proxy.take() is None
    assert proxy.session.subscriptions == {}
    with pytest.raises(WireError, match="more than 50000 names"):
        proxy.ask(ENDPOINTS, *(f"n{number}" for number in range(NAMES_MAX + 1)))


def test_versions_follow_from_what_is_served() -> None:
    """The same resources make the same versions, in whatever order they came; another one makes another."""
    first, second = Catalog(), Catalog()
    first.put([(ENDPOINTS, one("a")), (ENDPOINTS, one("b"))])
    second.put([(ENDPOINTS, one("b", "old")), (ENDPOINTS, one("a"))])
    assert first.version(ENDPOINTS) != second.version(ENDPOINTS)
    assert second.put([(ENDPOINTS, one("b"))]) == [(ENDPOINTS, "b")]
    assert first.version(ENDPOINTS) == second.version(ENDPOINTS)
    first.remove([(ENDPOINTS, "a"), (ENDPOINTS, "b")])
    assert first.version(ENDPOINTS) == Catalog().version(ENDPOINTS)
