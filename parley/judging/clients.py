"""Whom a run asks: the client that params.yaml names, with its key, over the answers that are kept.

A client is a file of parley/judges (parley/judging/answers.py says what it holds).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from parley.errors import ParleyError
from parley.judging.answers import Ask, Store
from parley.judging.asking import Asker
from parley.judging.calling import Target, bounded
from parley.params import Section
from parley.plugins import plugin


class ClientSettings(Section):
    """What section `judge` says of the client."""

    client: str
    model: str = Field(min_length=1)
    endpoint: str = Field(pattern=r"^(https?://\S+)?$")
    concurrency: int = Field(ge=1, le=64)
    timeout: int = Field(ge=1, le=600)
    retries: int = Field(ge=1, le=10)
    max_calls: int = Field(ge=0)


class NoJudge(Exception):
    """There is nobody to ask: no client, or no key for it."""


def find_key(names: tuple[str, ...], home: Path) -> tuple[str, str] | None:
    """(variable, key): the first of `names` that is set in the environment or in home/.env, and not empty."""
    from dotenv import dotenv_values

    written: Mapping[str, str | None] = dotenv_values(home / ".env")
    for name in names:
        value = (os.environ.get(name) or written.get(name) or "").strip()
        if value:
            return name, value
    return None


def judge_or_stop(root: Path, params: ClientSettings) -> Asker:
    """The asker, for whoever can do nothing without one: raises ParleyError."""
    try:
        return open_judge(root, params)
    except NoJudge as nobody:
        raise ParleyError(f"{nobody}: put a key into the environment or into .env; nothing was sent") from None


def open_judge(root: Path, params: ClientSettings, *, key_needed: bool = True) -> Asker:
    """The asker over the kept answers; raises NoJudge. Nothing heavy is imported before it connects.

    Without `key_needed` it is for what kept answers tell alone.
    """
    if params.client == "none":
        raise NoJudge("judge.client is none")
    home = Path(os.environ.get("DVC_ROOT") or root)  # experiments share the key and the answers
    client = plugin("judges", params.client, key="judge.client")
    key = find_key(client.KEYS, home)
    keyless = params.endpoint and getattr(client, "KEYLESS_ENDPOINTS", False)
    if key_needed and client.KEYS and not key and not keyless:
        raise NoJudge(f"no {client.KEYS[0]}")
    variable, secret = key or (client.KEYS[0] if client.KEYS else "", "")
    target = Target(params.client, params.model, params.endpoint or client.HOST, variable)

    def connect() -> Ask:
        ask = client.connect(key=secret, model=params.model, endpoint=params.endpoint, timeout=params.timeout)
        return bounded(ask, seconds=params.timeout, at_once=params.concurrency)

    store = Store(home / ".judge/answers.sqlite")
    limits = {"retries": params.retries, "max_calls": params.max_calls, "concurrency": params.concurrency}
    return Asker(target, store, connect, **limits)
