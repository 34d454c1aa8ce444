"""gemini: Google's Gemini through google-generativeai, over REST.

https://ai.google.dev/api/generate-content (v1beta, November 2026). The package's life has ended, but it is
what people have; everything that knows it is in this file. No sampling parameter is sent: Gemini 3 ignores them.
"""

import functools
import warnings
from typing import Any

from pydantic import BaseModel

from parley.judging.answers import Answer, Ask, Fault
from parley.judging.faults import status_fault

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
    # Proxies and certificates of the environment, looked up once: at each call they would cost as much as the call.
    environment = session.merge_environment_settings(endpoint or HOST, {}, None, None, None)
    session.proxies, session.verify, session.trust_env = environment["proxies"], environment["verify"], False
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=64))  # as many as judge.concurrency allows; 10 otherwise
    # Without "retry": None the package tries again for 600 s, whatever the timeout.
    options = {"timeout": timeout, "retry": None}

    def ask(prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        import requests
        from google.api_core.exceptions import GoogleAPICallError
        from google.protobuf.json_format import ParseError

        config = {"response_mime_type": "application/json", "max_output_tokens": max_tokens}
        if schema := _schema(form):
            config["response_schema"] = schema
        try:
            return _answer(chat.generate_content(prompt, generation_config=config, request_options=options))
        except GoogleAPICallError as error:
            raise _fault(error) from None
        except (ParseError, UnicodeDecodeError, AttributeError):  # the last from errors of an unexpected shape
            raise Fault("bad_body", passing=True) from None
        except requests.TooManyRedirects as error:
            raise Fault(f"http_{error.response.status_code if error.response else 302}", passing=False) from None
        except requests.Timeout:
            raise Fault("timeout", passing=True) from None
        except requests.RequestException:
            raise Fault("network", passing=True) from None

    return ask


@functools.cache
def _schema(form: type[BaseModel]) -> Any:
    """A form as Gemini's own kind of schema, made once; None for what that cannot say, such as any key.

    The package's own rendering fails on defaults, and leaves `required` out.
    """
    from google.generativeai import protos

    whole = form.model_json_schema()
    rendered = _rendered(whole, whole.get("$defs", {}))
    return rendered and protos.Schema(rendered)


def _rendered(part: dict[str, Any], named: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema `part` as https://ai.google.dev/api/caching#Schema has it (November 2026)."""
    if "$ref" in part:
        return _rendered(named[part["$ref"].rpartition("/")[2]], named)
    choices = [choice for choice in part.get("anyOf", []) if choice.get("type") != "null"]
    if choices:
        only = _rendered(choices[0], named) if len(choices) == 1 else None
        return only and {**only, "nullable": len(choices) < len(part["anyOf"])}
    found: dict[str, Any] = {"type": part.get("type", "string").upper()}
    if "enum" in part:
        found |= {"format": "enum", "enum": part["enum"]}
    if found["type"] == "ARRAY":
        found["items"] = _rendered(part["items"], named)
        return found if found["items"] else None
    if found["type"] == "OBJECT":
        inner = {name: _rendered(value, named) for name, value in part.get("properties", {}).items()}
        found |= {"properties": inner, "required": part.get("required", list(inner))}
        return found if inner and all(inner.values()) else None
    return found


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
    headers = error.response.headers if error.response is not None else {}
    return status_fault(int(error.code or 0), headers, {"error": {"details": list(error.details)}})
