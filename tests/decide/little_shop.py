"""A little shop to break: web calls cart and search, cart calls db; calm and known in every signal."""

import numpy as np

from controlplane.decide.analysis.window import Floats, Window
from controlplane.model.recording import EdgeSignal, Metric, ServiceSignal

SERVICES = ("web", "cart", "search", "db")
WEB, CART, SEARCH, DB = range(4)
EDGES = np.array([[WEB, CART], [WEB, SEARCH], [CART, DB]])
REQUESTS = np.array([1000.0, 500.0, 400.0, 1000.0])
LATENCY = np.array([0.2, 0.08, 0.05, 0.01])
SELF = np.array([0.1, 0.06, 0.05, 0.01])
CALLS = np.array([500.0, 400.0, 1000.0])
WIRE = 0.001
NORMAL = 60


class Shop:
    """Signals that a test may change before it asks for the window."""

    def __init__(self, *, incident: int = 3, seed: int = 7, edges: bool = True) -> None:
        random = np.random.default_rng(seed)
        buckets = NORMAL + incident

        def noisy(centre: Floats, spread: float = 0.02) -> Floats:
            return np.asarray(centre * (1 + spread * random.standard_normal((buckets, len(centre)))))

        self.service: dict[ServiceSignal, Floats] = {
            "requests": np.round(noisy(REQUESTS)),
            "error_ratio": np.full((buckets, 4), 0.001),
            "latency_s": noisy(LATENCY),
            "self_time_s": noisy(SELF),
            "saturation": noisy(np.array([0.4, 0.3, 0.3, 0.2])),
        }
        server = noisy(LATENCY)[:, EDGES[:, 1]]
        self.edge: dict[EdgeSignal, Floats] = {}
        if edges:
            self.edge = {
                "requests": self.service["requests"][:, EDGES[:, 0]] * CALLS / REQUESTS[EDGES[:, 0]],
                "client_latency_s": server + WIRE * (1 + 0.02 * random.standard_normal((buckets, 3))),
                "server_latency_s": server,
            }
        self.bad = slice(NORMAL, None)

    def window(self, *, entry: int | None = WEB, metric: Metric | None = None) -> Window:
        """As an analysis reads it."""
        return Window(
            bucket_s=60.0,
            services=SERVICES,
            edges=EDGES,
            incident_at=NORMAL,
            service=self.service,
            edge=self.edge,
            entry=entry,
            metric=metric,
        )
