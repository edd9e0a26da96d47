"""Bugs of ours stay out of the request path: they are logged once per place, and the request goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("controlplane.gateway")
_reported: set[str] = set()


def report_once(place: str) -> None:
    """Log the exception being handled, with its traceback, the first time something goes wrong at `place`."""
    if place not in _reported:
        _reported.add(place)
        logger.exception("bookkeeping failed in %s; requests go on without it, and this is logged once", place)


@contextmanager
def reporting(place: str) -> Iterator[None]:
    """The body; what goes wrong in it is reported, and ends it and no more."""
    try:
        yield
    except Exception:
        report_once(place)
