"""HTTP to servers of models: no redirects, no telemetry."""

from typing import Any


def http_client(timeout: float) -> Any:
    """An httpx2.Client that threads may share."""
    import httpx2

    return httpx2.Client(
        timeout=timeout,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),  # as many as judge.concurrency allows
        follow_redirects=False,  # a redirect would carry key and conversation to another host
        event_hooks={"request": [_plain]},
    )


def _plain(request: Any) -> None:
    """Takes out what a package tells of this machine: its system, processor and Python."""
    for name in [name for name in request.headers if name.lower().startswith("x-stainless-")]:
        del request.headers[name]
