"""ollama: a model on your own machine, under Ollama; no key, and no text leaves the machine.

https://docs.ollama.com/api/chat (November 2026). Ollama cuts a prompt that is longer than its context without a
word, so each call asks for a context that holds it: a power of two,
since the model is loaded anew for every other size.
"""

from typing import Any

from pydantic import BaseModel

from parley.http import http_client
from parley.judging.answers import Answer, Ask
from parley.judging.faults import faults, status_fault

KEYS = ()
HOST = "http://127.0.0.1:11434"
FINISH = {"length": "max_tokens"}


def connect(*, key: str, model: str, endpoint: str, timeout: float) -> Ask:
    """A function that asks `model` at `endpoint` ("" for this machine), waiting `timeout` seconds at most."""
    client = http_client(timeout)
    url = (endpoint or HOST).rstrip("/") + "/api/chat"

    def ask(prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        answer_tokens = max_tokens // 4  # a machine at home has no room for the longest
        needed = len(prompt.encode()) // 2 + answer_tokens  # hardly a token is shorter than two bytes
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": False,
            "format": form.model_json_schema(),
            "options": {"temperature": 0, "num_predict": answer_tokens, "num_ctx": 1 << needed.bit_length()},
        }
        with faults():
            response = client.post(url, json=body)
            if response.status_code != 200:
                raise status_fault(response.status_code, response.headers)
            return _answer(response.json())

    return ask


def _answer(reply: dict[str, Any]) -> Answer:
    tokens = (reply.get("prompt_eval_count", 0), reply.get("eval_count", 0))
    finish = reply.get("done_reason") or "stop"
    return Answer(FINISH.get(finish, finish), reply["message"]["content"], *tokens)
