"""A judge's server on the loopback that does as it is told, for the real clients over a real socket.

It speaks Gemini's, OpenAI's and Ollama's protocols, whichever it is asked in.

with JudgeServer(script=[status(503), reply()]) as server: ...     then server.url, server.requests
"""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tests import local_server
from tests.local_server import Server

Step = Callable[["Handler"], None]


def verdict(score: Any = 8, reason: str = "It fits.") -> str:
    return json.dumps({"reason": reason, "score": score})


def reply(text: str | None = None, *, finish: str | None = "STOP", tokens: tuple[int, int] = (100, 20)) -> Step:
    """200 with one answer; `finish` in Gemini's words."""
    said = verdict() if text is None else text
    return lambda handler: body(handler.protocol.answer(said, finish, tokens))(handler)


def blocked() -> Step:
    """The prompt itself was refused."""
    return lambda handler: handler.protocol.refuse(handler)


def empty() -> Step:
    """200 with no answer in it."""
    return lambda handler: body(handler.protocol.nothing)(handler)


def body(value: Any) -> Step:
    return raw(json.dumps(value).encode())


def raw(data: bytes, *, kind: str = "application/json") -> Step:
    return lambda handler: handler.send(200, data, {"Content-Type": kind})


def status(code: int, *, headers: Mapping[str, str] | None = None, reason: str = "", delay: str = "") -> Step:
    """An error as Google writes one; the other protocols have the same `error`, and no details."""
    details: list[dict[str, str]] = []
    if reason:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason})
    if delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    error = {"error": {"code": code, "message": "as scripted", "status": "SCRIPTED", "details": details}}
    return lambda handler: handler.send(code, json.dumps(error).encode(), headers or {})


def html(code: int = 200) -> Step:
    return lambda handler: handler.send(code, b"<html><body>gateway</body></html>", {"Content-Type": "text/html"})


def hang(seconds: float) -> Step:
    return lambda handler: time.sleep(seconds)


def truncated() -> Step:
    """Promises more bytes than it sends."""

    def step(handler: "Handler") -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "500")
        handler.end_headers()
        handler.wfile.write(b'{"candidates": [')

    return step


def drip(seconds: float) -> Step:
    """A byte now and then, for `seconds`: no single read is ever slow."""

    def step(handler: "Handler") -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    return step


def reset() -> Step:
    """Closes with RST instead of an answer."""

    def step(handler: "Handler") -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return step


class Protocol:
    """How one kind of server says things: `answer` is a reply as a mapping, `refuse` sends a refusal of the prompt."""

    path: str  # what its path ends with
    nothing: Mapping[str, Any]  # a reply without an answer

    def prompt(self, sent: Mapping[str, Any]) -> str:
        return str(sent["messages"][0]["content"])


class Gemini(Protocol):
    path = ":generateContent"
    nothing: Mapping[str, Any] = {}

    def prompt(self, sent: Mapping[str, Any]) -> str:
        return str(sent["contents"][0]["parts"][0]["text"])

    def answer(self, text: str, finish: str | None, tokens: tuple[int, int]) -> Mapping[str, Any]:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        usage = {"promptTokenCount": tokens[0], "candidatesTokenCount": tokens[1], "totalTokenCount": sum(tokens)}
        return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "usageMetadata": usage}

    def refuse(self, handler: "Handler") -> None:
        body({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 100}})(
            handler
        )


class OpenAI(Protocol):
    path = "/chat/completions"
    nothing: Mapping[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    finishes: Mapping[str, str] = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}

    def answer(self, text: str, finish: str | None, tokens: tuple[int, int]) -> Mapping[str, Any]:
        reason = self.finishes.get(finish, finish.lower()) if finish else None
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        return {**self.nothing, "choices": [choice], "usage": usage}

    def refuse(self, handler: "Handler") -> None:
        error = {"error": {"message": "as scripted", "type": "invalid_request_error", "code": "content_filter"}}
        handler.send(400, json.dumps(error).encode(), {"Content-Type": "application/json"})


class Ollama(Protocol):
    path = "/api/chat"
    nothing: Mapping[str, Any] = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True}

    def answer(self, text: str, finish: str | None, tokens: tuple[int, int]) -> Mapping[str, Any]:
        reason = "length" if finish == "MAX_TOKENS" else finish.lower() if finish else None
        message = {"message": {"role": "assistant", "content": text}, "done_reason": reason}
        return {**self.nothing, **message, "prompt_eval_count": tokens[0], "eval_count": tokens[1]}

    def refuse(self, handler: "Handler") -> None:
        """Ollama has no such thing: its nearest is an answer that is empty."""
        body(self.nothing)(handler)


PROTOCOLS = (Gemini(), OpenAI(), Ollama())


class Handler(local_server.Handler):
    protocol_version = "HTTP/1.1"  # connections are kept, as real servers do
    disable_nagle_algorithm = True
    server: "JudgeServer"
    protocol: Protocol
    answered: bool  # whole, so that the connection can serve again

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        path = self.path.split("?")[0]
        self.protocol = next(protocol for protocol in PROTOCOLS if path.endswith(protocol.path))
        request = {"path": path, "prompt": self.protocol.prompt(sent), "sent": sent, "headers": dict(self.headers)}
        step = self.server.next_step(request)
        self.answered = False
        try:
            step(self)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had enough
        finally:
            self.close_connection = self.close_connection or not self.answered
            self.server.done()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # `reset` closed it
            super().finish()

    def send(self, code: int, data: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().send(code, data, headers)
        self.answered = True


class JudgeServer(Server):
    """Takes the steps of `script` one by one, then what `otherwise` says to a prompt; `latency` seconds before each."""

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        otherwise: Callable[[str], Step] = lambda prompt: reply(),
        latency: float = 0.0,
    ) -> None:
        super().__init__(Handler)
        self.script = list(script)
        self.otherwise = otherwise
        self.latency = latency
        self.requests: list[dict[str, Any]] = []  # path, prompt, sent, headers, time
        self.under_way = 0
        self.peak = 0  # most requests under way at once
        self._lock = threading.Lock()

    def next_step(self, request: dict[str, Any]) -> Step:
        request["time"] = time.monotonic()
        prompt = request["prompt"]
        with self._lock:
            self.requests.append(request)
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            step = self.script.pop(0) if self.script else self.otherwise(prompt)
        time.sleep(self.latency)
        return step

    def done(self) -> None:
        with self._lock:
            self.under_way -= 1

    def handle_error(self, request: Any, client_address: Any) -> None: ...
