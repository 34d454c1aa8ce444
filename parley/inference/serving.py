"""Answers from a server of OpenAI's completions, such as vLLM, in place of a model in this process.

The prompts are the token ids that a local model would get, so the text of a turn can't become a control token there
either. `echo` with `logprobs` brings the log-probabilities of the reference; a server without them leaves them out.
https://platform.openai.com/docs/api-reference/completions (November 2026). One that has chat completions only is sent
the turns, and applies its own template.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from parley.conversation import to_chat
from parley.errors import ParleyError
from parley.evaluation import Case
from parley.http import http_client
from parley.inference.generation import NO_ANSWER, UNLIMITED, Answer, Prompt

TIMEOUT = 600  # seconds for one answer
TRIES = 5  # after the first; openai waits longer before each, or as long as the server says
ABSENT = (400, 404, 405, 422, 501)  # statuses of what a server does not have


class Server:
    """One model of one server."""

    def __init__(self, endpoint: str, model: str, *, concurrency: int) -> None:
        import openai

        self.model = model
        self.endpoint = endpoint
        self.chat = False  # whether it only has chat completions
        self.logprobs = True  # whether it gives those of a prompt
        self._concurrency = concurrency
        self._client = openai.OpenAI(
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            base_url=endpoint,
            organization="",
            project="",
            max_retries=TRIES,
            http_client=http_client(TIMEOUT),
        )

    def context_length(self) -> int:
        """Tokens that the model can see at once, where the server says so (vLLM does); else no limit."""
        found = self._call(self._client.models.list).model_dump()["data"]
        names = [one["id"] for one in found]
        if self.model not in names:
            raise ParleyError(
                f"{self.endpoint}: serves {', '.join(map(repr, names)) or 'no model'}, and {self.model!r} is wanted: "
                f"serve it under that name (vLLM: --served-model-name {self.model})"
            )
        return next(one for one in found if one["id"] == self.model).get("max_model_len") or UNLIMITED

    def answers(
        self,
        cases: Sequence[Case],
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int,
        stops: Sequence[int],
        done: Callable[[int], object],
    ) -> tuple[list[Answer], list[tuple[float, ...]]]:
        """Each case's answer, and the log-probabilities of its reference, () where the server gives none."""

        def one(place: int) -> tuple[Answer, tuple[float, ...]]:
            asks = cases[place].asks
            answer = self._answer(cases[place], prompts[place], max_new_tokens, stops) if asks else NO_ANSWER
            nats = () if self.chat or not self.logprobs else self._reference(prompts[place])
            done(1)
            return answer, nats

        if not prompts:
            return [], []
        found = [one(0)]  # alone: it shows what the server has
        with ThreadPoolExecutor(self._concurrency) as pool:
            try:
                found += pool.map(one, range(1, len(prompts)))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [answer for answer, _ in found], [nats for _, nats in found]

    def _answer(self, case: Case, prompt: Prompt, max_new_tokens: int, stops: Sequence[int]) -> Answer:
        import openai

        options: Any = {"model": self.model, "max_tokens": max_new_tokens, "temperature": 0}
        if not self.chat:
            try:
                create, extra = self._client.completions.create, {"stop_token_ids": stops}
                made = self._call(create, optional=True, prompt=prompt.ids, extra_body=extra, **options)
                return _read(made, made.choices[0].text)
            except openai.APIStatusError:
                self.chat = True
        made = self._call(self._client.chat.completions.create, messages=to_chat(case.context), **options)
        return _read(made, made.choices[0].message.content or "")

    def _reference(self, prompt: Prompt) -> tuple[float, ...]:
        import openai

        ids = prompt.ids + prompt.reference
        create = self._client.completions.create
        try:
            options: Any = {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
            made = self._call(create, optional=True, model=self.model, prompt=ids, **options)
        except openai.APIStatusError:
            self.logprobs = False
            return ()
        found = (made.choices[0].logprobs and made.choices[0].logprobs.token_logprobs) or []
        wanted = found[len(prompt.ids) : len(ids)]
        if len(wanted) < len(prompt.reference) or None in wanted:
            self.logprobs = False
            return ()
        return tuple(round(value, 6) for value in wanted)

    def _call(self, function: Callable[..., Any], *, optional: bool = False, **options: Any) -> Any:
        """The reply; raises APIStatusError where the server lacks what is `optional`, ParleyError for all else."""
        import openai

        try:
            return function(**options)
        except openai.APIStatusError as error:
            if optional and error.status_code in ABSENT:
                raise
            raise ParleyError(f"{self.endpoint}: HTTP {error.status_code} for model {self.model!r}") from None
        except openai.APIError as error:
            kind = "no answer in time" if isinstance(error, openai.APITimeoutError) else "no connection"
            raise ParleyError(f"{self.endpoint}: {kind}: is the server of generate.endpoint up?") from None


def _read(made: Any, text: str) -> Answer:
    tokens = made.usage.completion_tokens if made.usage else 0
    return Answer(text, "length" if made.choices[0].finish_reason == "length" else "stop", tokens)
