"""Which calls side orders touch, counted out by hand: what is shed, how many retries a cap leaves, who is hurried."""

from fractions import Fraction

KEPT_MAX = 10  # retries that a cap saves up


def even(turn: int, percent: int) -> bool:
    """Whether the call with that number is among the `percent` of all that are meant: where the line passes a whole."""
    return (turn + 1) * percent // 100 > turn * percent // 100


class Order:
    """A side order, until its lease ends."""

    def __init__(self, value: tuple[int, ...], until_ns: int) -> None:
        self.value, self.until_ns = value, until_ns
        self.left = Fraction(0)  # of a cap


class Sides:
    """The side orders of one edge whose own retry budget never ends."""

    def __init__(self) -> None:
        self.now = 0
        self.orders: dict[int, Order] = {}
        self.shed_turn = self.tighten_turn = 0

    def order(self, part: int, value: tuple[int, ...], lease_ns: int) -> None:
        """Put it in force; the same again only lasts longer."""
        held = self.held(part)
        if held is not None and held.value == value:
            held.until_ns = self.now + lease_ns
        else:
            self.orders[part] = Order(value, self.now + lease_ns)

    def restore(self, part: int) -> None:
        """Take it back."""
        self.orders.pop(part, None)

    def held(self, part: int) -> Order | None:
        """The order of that part that is in force."""
        found = self.orders.get(part)
        return found if found is not None and found.until_ns > self.now else None

    def first(self, priority: int, shed: int, cap: int) -> bool:
        """A first call: whether it goes."""
        order = self.held(shed)
        if order is not None and priority > order.value[0]:
            self.shed_turn += 1
            if even(self.shed_turn - 1, order.value[1]):
                return False
        if (capped := self.held(cap)) is not None:
            capped.left = min(Fraction(KEPT_MAX), capped.left + Fraction(capped.value[0], 100))
        return True

    def further(self, cap: int) -> bool:
        """A retry or a second life: whether it goes."""
        order = self.held(cap)
        if order is None:
            return True
        if order.left < 1:
            return False
        order.left -= 1
        return True

    def deadline_ns(self, tighten: int) -> int:
        """What bounds the next call; 0: nothing."""
        order = self.held(tighten)
        if order is None:
            return 0
        self.tighten_turn += 1
        return order.value[0] if even(self.tighten_turn - 1, order.value[1]) else 0
