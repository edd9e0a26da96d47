"""Wanted state as resources of Envoy (decision 0024).

A service has three faces: the cluster of its name, which is its owner's; the cluster `NAME.contained`, which has what
the plane leaves of it; and keys in one runtime layer that lead calls there. The layer alone expires, so that a plane
that is gone leaves the owner's cluster, whole.
"""
