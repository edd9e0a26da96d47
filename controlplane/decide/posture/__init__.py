"""Security posture under failure: what depends on a degraded guard fails closed, and opens again by evidence.

Law of this room: closing is an outage, so only what declared the dependency is closed, and only on evidence of real
requests or probes, never on silence or on another's alert. Opening is exposure, so no passing of time opens anything.
"""
