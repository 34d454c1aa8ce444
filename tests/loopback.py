"""A Gemini server on the loopback that does as it is told, for the real client over a real socket.

with GeminiServer(script=[status(503), reply()]) as server: ...     then server.url, server.requests
"""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Handler"], None]


def verdict(score: Any = 8, reason: str = "It fits.") -> str:
    return json.dumps({"reason": reason, "score": score})


def reply(text: str | None = None, *, finish: str | None = "STOP", tokens: tuple[int, int] = (100, 20)) -> Step:
    """200 with one candidate."""
    parts = {"parts": [{"text": verdict() if text is None else text}], "role": "model"}
    candidate = {"content": parts, "index": 0} | ({"finishReason": finish} if finish else {})
    usage = {"promptTokenCount": tokens[0], "candidatesTokenCount": tokens[1], "totalTokenCount": sum(tokens)}
    return body({"candidates": [candidate], "usageMetadata": usage})


def blocked() -> Step:
    """200 with no candidate: the prompt itself was refused."""
    return body({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 100}})


def body(value: Any) -> Step:
    return raw(json.dumps(value).encode())


def raw(data: bytes, *, kind: str = "application/json") -> Step:
    return lambda handler: handler.send(200, data, {"Content-Type": kind})


def status(code: int, *, headers: Mapping[str, str] | None = None, reason: str = "", delay: str = "") -> Step:
    """An error as Google writes one."""
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


def reset() -> Step:
    """Closes with RST instead of an answer."""

    def step(handler: "Handler") -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return step


class Handler(BaseHTTPRequestHandler):
    server: "GeminiServer"

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        step = self.server.next_step(self.path, json.loads(data))
        self.close_connection = True
        try:
            step(self)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had enough
        finally:
            self.server.done()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # `reset` closed it
            super().finish()

    def send(self, code: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None: ...


class GeminiServer(ThreadingHTTPServer):
    """Takes the steps of `script` one by one, then what `otherwise` says to a prompt; `latency` seconds before each."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        otherwise: Callable[[str], Step] = lambda prompt: reply(),
        latency: float = 0.0,
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = list(script)
        self.otherwise = otherwise
        self.latency = latency
        self.requests: list[dict[str, Any]] = []  # path, prompt, config, time
        self.under_way = 0
        self.peak = 0  # most requests under way at once
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next_step(self, path: str, sent: dict[str, Any]) -> Step:
        prompt = sent["contents"][0]["parts"][0]["text"]
        request = {"path": path, "prompt": prompt, "config": sent["generationConfig"], "time": time.monotonic()}
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

    def __enter__(self) -> "GeminiServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()
