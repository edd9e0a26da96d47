"""Values: frozen structs, ids, units and the error tree.

Law of this room: no clock, no randomness, no I/O, no logger. Everything here can be encoded by msgspec, compared and
replayed. Times are `Nanos` on CLOCK_MONOTONIC unless a field's name says `wall`.
"""
