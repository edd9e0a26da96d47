"""Envoy, steered by the aggregated discovery service and heard by its access log service.

Law of this room: protocol without I/O (`wire`, `discovery`, `session`, `logs`), one file that speaks HTTP/2 (`grpc`),
and what a wanted state means in resources (`resources`). An Envoy that nobody contains anything in is left as its
owner configured it, and what contains expires in Envoy itself when nobody renews it (decision 0024).
"""
