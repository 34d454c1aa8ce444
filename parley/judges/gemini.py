"""gemini: Google's Gemini through google-generativeai, over REST.

https://ai.google.dev/api/generate-content (v1beta, November 2026). The package's life has ended, but it is
what people have; everything that knows it is in this file. No sampling parameter is sent: Gemini 3 ignores them.
"""

import datetime
import email.utils
import functools
import re
import warnings
from typing import Any

from pydantic import BaseModel

from parley.answers import Answer, Ask, Fault

KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
HOST = "https://generativelanguage.googleapis.com"


def connect(*, key: str, model: str, endpoint: str, timeout: float) -> Ask:
    """A function that asks `model` at `endpoint` ("" for Google's own), waiting `timeout` seconds at most."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its farewell, and api_core's about Python
        import google.generativeai as genai
        from google.generativeai import client
    from requests.adapters import HTTPAdapter

    genai.configure(api_key=key, transport="rest", client_options={"api_endpoint": endpoint or HOST})
    chat = genai.GenerativeModel(model)
    session = client.get_default_generative_client().transport._session
    session._refresh_status_codes = ()  # after a 401 it would ask twice more, with the same key
    session.max_redirects = 0  # a redirect would carry key and conversation to another host
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=64))  # as many as judge.concurrency allows; 10 otherwise
    # Without "retry": None the package tries again for 600 s, whatever the timeout.
    options = {"timeout": timeout, "retry": None}

    def ask(prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        import requests
        from google.api_core.exceptions import GoogleAPICallError
        from google.protobuf.json_format import ParseError

        config = {
            "response_mime_type": "application/json",
            "response_schema": _schema(form),
            "max_output_tokens": max_tokens,
        }
        try:
            return _answer(chat.generate_content(prompt, generation_config=config, request_options=options))
        except GoogleAPICallError as error:
            raise _fault(error) from None
        except (ParseError, UnicodeDecodeError, AttributeError):  # the last from errors of an unexpected shape
            raise Fault("bad_body", passing=True) from None
        except requests.Timeout:
            raise Fault("timeout", passing=True) from None
        except requests.RequestException:
            raise Fault("network", passing=True) from None

    return ask


@functools.cache
def _schema(form: type[BaseModel]) -> Any:
    """The package's own rendering of a form, made once, and with the `required` that it leaves out."""
    from google.generativeai.types import generation_types

    schema = generation_types.to_generation_config_dict({"response_schema": form})["response_schema"]
    schema.required = list(form.model_fields)
    return schema


def _answer(response: Any) -> Answer:
    """Looks at why it finished before it looks at the text: a cut-off answer has text as well."""
    used = response.usage_metadata
    tokens = (used.prompt_token_count, max(0, used.total_token_count - used.prompt_token_count))
    if not response.candidates:
        return Answer("blocked" if response.prompt_feedback.block_reason else "empty", "", *tokens)
    candidate = response.candidates[0]
    text = "".join(part.text for part in candidate.content.parts)
    # An unknown reason arrives as a number; none at all as 0, from servers that are not Google's.
    finish = getattr(candidate.finish_reason, "name", f"finish_{candidate.finish_reason}").lower()
    return Answer("stop" if finish in ("stop", "finish_reason_unspecified") else finish, text, *tokens)


def _fault(error: Any) -> Fault:
    status = int(error.code or 0)
    wrong_key = status == 400 and any(
        d.get("reason") == "API_KEY_INVALID" for d in error.details if isinstance(d, dict)
    )
    kind = "http_403" if wrong_key else f"http_{status}"
    return Fault(kind, passing=status in (408, 429) or status >= 500, wait=_wait(error))


def _wait(error: Any) -> float | None:
    """Seconds to wait: the header Retry-After (seconds or a date), else RetryInfo in the body ("34.5s")."""
    header = str(error.response.headers.get("Retry-After", "")) if error.response is not None else ""
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    if header:
        try:
            due = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        return max(0.0, (due - datetime.datetime.now(datetime.UTC)).total_seconds())
    for detail in error.details:
        delay = str(detail.get("retryDelay", "")) if isinstance(detail, dict) else ""
        if re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return None
