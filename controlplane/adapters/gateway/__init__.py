"""The in-process data plane: httpx transport, ASGI middleware, guards."""
