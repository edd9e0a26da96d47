"""The admin API: what people, dashboards and scripts see of a plane, and the few orders they may give.

GET never changes anything; everything but liveness, readiness and the (empty) console page wants the token.
"""

from controlplane.admin.app import AdminApp, create_app
from controlplane.config.token import ensure_token, read_token

__all__ = ["AdminApp", "create_app", "ensure_token", "read_token"]
