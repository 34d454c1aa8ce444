"""google_genai: Google's Gemini through google-genai, the package that Google now maintains.

https://ai.google.dev/api/generate-content (v1beta, November 2026). No sampling parameter is sent: Gemini 3
ignores them.
"""

import warnings
from typing import Any

from pydantic import BaseModel

from parley.http import http_client
from parley.judging.answers import Answer, Ask
from parley.judging.faults import faults, status_fault

KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
HOST = "https://generativelanguage.googleapis.com"


def connect(*, key: str, model: str, endpoint: str, timeout: float) -> Ask:
    """A function that asks `model` at `endpoint` ("" for Google's own), waiting `timeout` seconds at most."""
    from google import genai
    from google.genai import errors, types

    warnings.filterwarnings("ignore", message=".* is not a valid FinishReason")
    options = types.HttpOptions(
        base_url=endpoint or HOST,
        api_version="v1beta",  # else GOOGLE_GENAI_API_VERSION of the environment decides
        timeout=round(timeout * 1000),
        httpx_client=http_client(timeout),
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    client = genai.Client(api_key=key, vertexai=False, http_options=options)

    def ask(prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        config = types.GenerateContentConfig(
            response_mime_type="application/json",
            response_json_schema=form.model_json_schema(),
            max_output_tokens=max_tokens,
        )
        with faults():
            try:
                return _answer(client.models.generate_content(model=model, contents=prompt, config=config))
            except errors.APIError as error:
                headers = getattr(error.response, "headers", None) or {}
                raise status_fault(error.code, headers, error.details) from None

    return ask


def _answer(response: Any) -> Answer:
    """Looks at why it finished before it looks at the text: a cut-off answer has text as well."""
    used = response.usage_metadata
    tokens_in = (used.prompt_token_count or 0) if used else 0
    tokens = (tokens_in, max(0, (used.total_token_count or 0) - tokens_in) if used else 0)
    if not response.candidates:
        blocked = response.prompt_feedback and response.prompt_feedback.block_reason
        return Answer("blocked" if blocked else "empty", "", *tokens)
    candidate = response.candidates[0]
    parts = (candidate.content and candidate.content.parts) or []
    text = "".join(part.text or "" for part in parts if not part.thought)
    finish = str(getattr(candidate.finish_reason, "value", None) or "stop").lower()
    return Answer("stop" if finish == "finish_reason_unspecified" else finish, text, *tokens)
