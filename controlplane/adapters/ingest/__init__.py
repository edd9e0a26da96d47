"""Telemetry of others, as signals."""
