"""The live dependency graph: who calls whom, in bounded memory whatever is heard. `live.py` is the whole of its face.

Law of this room: it counts and tells. What is unknown stays unknown, and nobody here decides anything.
"""
