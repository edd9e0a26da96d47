"""Whether a URL of a configuration can be asked, and may stand there."""

from urllib.parse import urlsplit


def wrong_url(url: str, *, instead: str = "a token into token_file") -> str:
    """What is wrong with `url`, in words; empty: nothing. `instead`: what to do with credentials."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a URL ({error})"
    if parts.scheme not in ("http", "https") or not host:
        return "is not an http or https URL with a host"
    if parts.username is not None or parts.password is not None:
        return f"carries credentials, which would end up in logs; put {instead}"
    return ""
