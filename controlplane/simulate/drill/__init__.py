"""A playbook rehearsed against the topology as it is declared now, in virtual time.

Law of this room: it passes only by what was seen. What the world assumes and nobody declared is said beside the result.
"""
