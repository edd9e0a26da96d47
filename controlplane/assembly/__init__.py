"""Configuration becomes wired objects: the only place where runtime, adapters and the pure core meet."""

from controlplane.assembly.plane import Plane

__all__ = ["Plane"]
