"""The messages of Envoy are ours alone: nothing is imported whose files or descriptors clash with somebody else's."""

import subprocess
import sys

SCRIPT = """
import pkgutil, sys
import controlplane.adapters.proxies.envoy as room
names = [module.name for module in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]
for name in names:
    __import__(name)
foreign = ("google", "envoy", "xds", "udpa", "validate", "opentelemetry")
clash = [name for name in sys.modules if name.split(".")[0] in foreign]
print(len(names), clash)
"""


def test_no_protobuf_is_imported() -> None:
    """Neither the runtime nor anybody's generated messages, which an OpenTelemetry SDK beside us depends on."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    count, _, clash = done.stdout.strip().partition(" ")
    assert int(count) > 15
    assert clash == "[]"
