"""Configuration drift. `found` is what is known (the fold, and who is drifted), `watch` how it comes to be known.

compare   fingerprints against what is declared, else against their majority
memory    what has been said and has not stood for long enough
"""

from controlplane.decide.drift.found import drifted as drifted
from controlplane.decide.drift.found import is_ours as is_ours
from controlplane.decide.drift.found import reasons as reasons
