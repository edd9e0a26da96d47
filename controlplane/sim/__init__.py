"""A world that is computed: what happens to services, queues and callers, step by step.

Law of this room: it knows nothing of what judges it. Nothing here imports `decide`, and no formula is shared with it;
time is a step count, and chance comes from the generator it is given.
"""
