"""The real multi-process mesh that `controlplane demo` runs, breaks and measures.

Law of this room: every number in its report was measured on real processes and sockets, in both modes by the same rule.
Children are steered through pipes (`pipe`), so that nobody else can inject a fault and none outlives its parent.
"""
