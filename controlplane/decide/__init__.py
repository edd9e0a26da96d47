"""The pure core: (signal, now) -> Outcome.

Law of this room: deterministic, byte for byte. Time is an argument; there is no clock, randomness, async library,
socket, database or logger, and import-linter checks it.
"""
