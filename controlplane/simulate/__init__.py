"""The production plane in a simulated world: guards, learning, engine and planner as they are, in virtual time.

Law of this room: nothing here decides. What the adapters of a real process do between a request and its guard is done
here between the kernel and the guard, by the same classes where they exist without an event loop.
"""
