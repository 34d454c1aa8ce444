"""make test-model: does the model load, and does it answer?

Exit status 1 if an answer is empty or goes round in circles. Fixed prompts, the likeliest token each time, so that the
same model says the same again.
"""

import re
import sys

import parley
from tools import told
from tools.chatting import parser, sampling_of, system_of, tuned

PROMPTS = (
    "Hello!",
    "How are you today?",
    "What do you like to do?",
    "Tell me something about yourself.",
    "What is the capital of France?",
    "Can you help me with something?",
)
_CIRCLE = re.compile(r"(.{1,80}?)\1{4,}\Z", re.DOTALL)  # five times the same at the end


def fault(response: str, tokens: int, most: int) -> str:
    """What is wrong with an answer, "" for nothing. One that ended by itself goes round in no circle."""
    if not response.strip():
        return "empty"
    return "circle" if tokens >= most and _CIRCLE.search(response.strip()) else ""


def main(argv: list[str] | None = None) -> None:
    given = parser("make test-model", __doc__.split("\n")[0]).parse_args(argv)
    given.temperature = 0.0
    with told("test-model"):
        sampling = sampling_of(given)
        voice = tuned(given)
        answers = parley.query_model(
            PROMPTS,
            voice.model,
            voice.template.tokenizer,
            max_new_tokens=sampling.max_new_tokens,
            temperature=0.0,
            repetition_penalty=sampling.repetition_penalty,
            system=system_of(given),
        )
    faults = [fault(found["response"], found["num_tokens"], sampling.max_new_tokens) for found in answers]
    for prompt, found, wrong in zip(PROMPTS, answers, faults, strict=True):
        print(f"{wrong.upper() or 'ok':<7}{prompt}\n       {found['response']!r}")
    rate = sum(found["num_tokens"] for found in answers) / answers[0]["generation_time"]
    print(
        f"{voice.name}: {faults.count('')} of {len(PROMPTS)} answers good, {rate:.0f} tokens/s on {voice.model.device}"
    )
    if any(faults):
        sys.exit(1)


if __name__ == "__main__":
    main()
