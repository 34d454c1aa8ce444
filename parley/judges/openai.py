"""openai: OpenAI, or any server that speaks its chat completions: vLLM, llama.cpp, LM Studio, a gateway.

https://platform.openai.com/docs/api-reference/chat/create (November 2026). `judge.endpoint` is the address that
ends in /v1; such a server of your own needs a key only if you gave it one. No temperature is sent: OpenAI's
reasoning models refuse it.
"""

from typing import Any

from pydantic import BaseModel

from parley.http import http_client
from parley.judging.answers import Answer, Ask, Fault
from parley.judging.faults import faults, status_fault

KEYS = ("OPENAI_API_KEY",)
KEYLESS_ENDPOINTS = True
HOST = "https://api.openai.com/v1"
FINISH = {"length": "max_tokens", "content_filter": "safety"}
BLOCKED = ("content_filter", "content_policy_violation")  # codes of a refused prompt, which comes as HTTP 400


def connect(*, key: str, model: str, endpoint: str, timeout: float) -> Ask:
    """A function that asks `model` at `endpoint` ("" for OpenAI's own), waiting `timeout` seconds at most."""
    import openai

    client = openai.OpenAI(
        api_key=key or "none",
        base_url=endpoint or HOST,  # else OPENAI_BASE_URL of the environment decides
        organization="",
        project="",
        max_retries=0,
        http_client=http_client(timeout),
    )

    def ask(prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        schema = {"name": form.__name__, "schema": form.model_json_schema()}
        with faults():
            try:
                completion = client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": prompt}],
                    response_format={"type": "json_schema", "json_schema": schema},
                    max_completion_tokens=max_tokens,
                )
            except openai.APIStatusError as error:
                if error.status_code == 400 and error.code in BLOCKED:
                    return Answer("blocked", "")
                raise status_fault(error.status_code, error.response.headers, error.body) from None
            except openai.APITimeoutError:
                raise Fault("timeout", passing=True) from None
            except openai.APIConnectionError:
                raise Fault("network", passing=True) from None
            except openai.APIError:
                raise Fault("bad_body", passing=True) from None
            return _answer(completion)

    return ask


def _answer(completion: Any) -> Answer:
    used = completion.usage
    tokens = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
    if not completion.choices:
        return Answer("empty", "", *tokens)
    choice = completion.choices[0]
    if getattr(choice.message, "refusal", None):
        return Answer("refusal", "", *tokens)
    finish = choice.finish_reason or "stop"  # none from some servers that are not OpenAI's
    return Answer(FINISH.get(finish, finish), choice.message.content or "", *tokens)
