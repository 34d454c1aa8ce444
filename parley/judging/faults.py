"""What went wrong with a call over HTTP, said the same way whichever client made it.

`Fault.kind` is "http_<status>", "timeout", "network" (refused, reset, cut off) or "bad_body" (no JSON, or of
another shape). Passing are 408, 429, 5xx, the network and broken bodies; the rest would fail again.
"""

import contextlib
import datetime
import email.utils
import re
from collections.abc import Iterator, Mapping
from typing import Any

from parley.judging.answers import Fault


def status_fault(status: int, headers: Mapping[str, str], body: Any = None) -> Fault:
    """The fault of an HTTP error; `body` is its JSON, where Google says more."""
    details = google_details(body)
    # Google answers a wrong key with 400.
    wrong_key = status == 400 and any(detail.get("reason") == "API_KEY_INVALID" for detail in details)
    kind = "http_403" if wrong_key else f"http_{status}"
    return Fault(kind, passing=status in (408, 429) or status >= 500, wait=_wait(headers, details))


def google_details(body: Any) -> list[dict[str, Any]]:
    """error.details of an error as Google writes one; [] for any other shape."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _wait(headers: Mapping[str, str], details: list[dict[str, Any]]) -> float | None:
    """Seconds to wait: the header Retry-After (seconds or a date), else RetryInfo in the body ("34.5s")."""
    header = str(headers.get("Retry-After", "")).strip()
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    if header:
        try:
            due = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        due = due.replace(tzinfo=due.tzinfo or datetime.UTC)  # "-0000" has none
        return max(0.0, (due - datetime.datetime.now(datetime.UTC)).total_seconds())
    for detail in details:
        delay = str(detail.get("retryDelay", ""))
        if re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


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
