"""The HTTP client of the judges whose packages take one: no redirects, no telemetry, its errors as faults."""

import contextlib
from collections.abc import Iterator
from typing import Any

from parley.judging.answers import Fault


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


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """Turns what goes wrong below HTTP, or in reading a body, into a Fault."""
    import httpx2

    try:
        yield
    except httpx2.TimeoutException:
        raise Fault("timeout", passing=True) from None
    except httpx2.DecodingError:
        raise Fault("bad_body", passing=True) from None
    except httpx2.HTTPError:
        raise Fault("network", passing=True) from None
    except (ValueError, AttributeError, KeyError, IndexError, TypeError):  # no JSON, or JSON of another shape
        raise Fault("bad_body", passing=True) from None
