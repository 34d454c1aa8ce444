"""A server of OpenAI's completions on the loopback that answers with a real model, one request at a time."""

import json
import threading
from pathlib import Path
from typing import Any

from parley.encoding.chat import template_of
from parley.inference.generation import Prompt, Sampling, answers_to, reference_logprobs
from parley.modeling.loading import load
from parley.modeling.models import Model
from tests import local_server
from tests.local_server import Server


class Handler(local_server.Handler):
    protocol_version = "HTTP/1.1"
    server: "ModelServer"

    def do_GET(self) -> None:
        self.say(200, {"object": "list", "data": [{"id": self.server.name, "object": "model", "max_model_len": 512}]})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, sent))
        chat = self.path.endswith("/chat/completions")
        if self.server.statuses:
            self.say(self.server.statuses.pop(0), {"error": {"message": "as scripted"}})
        elif (not chat and self.server.chat_only) or (sent.get("echo") and not self.server.gives_logprobs):
            self.say(404, {"error": {"message": "not here"}})
        elif chat:
            choice = {"index": 0, "message": {"role": "assistant", "content": "from chat"}, "finish_reason": "stop"}
            self.say(200, self.reply(choice, 2))
        else:
            with self.server.lock:
                self.say(200, self.completion(sent))

    def completion(self, sent: dict[str, Any]) -> dict[str, Any]:
        model, template = self.server.model, self.server.template
        ids = sent["prompt"]
        if sent.get("echo"):
            (nats,) = reference_logprobs(model, [Prompt(ids[:1], ids[1:], 0, cut=False)], batch_size=1)
            choice = {"index": 0, "text": "", "finish_reason": "length"}
            return self.reply(choice | {"logprobs": {"token_logprobs": [None, *nats, -1.0]}}, 1)
        prompt = Prompt(ids, [], 0, cut=False)
        (answer,) = answers_to(model, template, [prompt], sampling=Sampling(sent["max_tokens"]), batch_size=1)
        return self.reply({"index": 0, "text": answer.text, "finish_reason": answer.finish}, answer.tokens)

    def reply(self, choice: dict[str, Any], tokens: int) -> dict[str, Any]:
        usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens}
        return {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}

    def say(self, code: int, value: dict[str, Any]) -> None:
        self.send(code, json.dumps(value).encode(), {"Content-Type": "application/json"})


class ModelServer(Server):
    """Serves the model of `folder` as `name`. `statuses` are sent first, one a request."""

    def __init__(self, folder: Path, settings: Model, *, name: str = "base", **has: Any) -> None:
        super().__init__(Handler)
        self.name = name
        self.chat_only: bool = has.get("chat_only", False)
        self.gives_logprobs: bool = has.get("gives_logprobs", True)
        self.statuses: list[int] = has.get("statuses", [])
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.Lock()
        self.model, tokenizer = load(folder, folder, settings)
        self.template = template_of(tokenizer)

    @property
    def url(self) -> str:
        return super().url + "/v1"
