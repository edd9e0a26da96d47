"""Everything a window of figures tells about an incident: `analyze.py` is its face, for a recording and live alike.

Law of this room: what is normal comes from before the incident; missing is never zero; no names, sizes or training.
"""
