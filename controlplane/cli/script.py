"""`controlplane script`: what a proxy loads, as it lies in the package."""

import sys
from importlib.resources import files


def script(proxy: str) -> int:
    """Print the script of `proxy`."""
    name = {"haproxy": "controlplane.lua"}[proxy]
    sys.stdout.write((files("controlplane.adapters.proxies") / proxy / name).read_text())
    return 0
