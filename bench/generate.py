"""How much faster the test cases are answered in length-sorted batches than one by one, on the CPU.

    python -m bench.generate FOLDER [--cases 96] [--new 48]      FOLDER: a model, such as models/base of a run

Every way answers the same made-up chats, whose lengths differ as those of people do; the answers must be the same.
Seconds are of CPU time on one thread, so that what else runs does not count. No answer ends before --new tokens: one
that ends at once has nothing to batch. Prints the table of bench/results/generate.md.
"""

import argparse
import random
import time
from pathlib import Path

from parley.conversation import Conversation, Turn
from parley.encoding.chat import template_of
from parley.evaluation import Case
from parley.inference import generation
from parley.inference.generation import Prompt, Sampling, answers_to, prompt_of, reference_logprobs
from parley.modeling.loading import load
from parley.modeling.models import plain, quiet, set_threads

WORDS = "the a we you i it was is not so well yes no maybe tomorrow today train rain tea late good bad home".split()  # noqa: SIM905


def cases(count: int) -> list[Case]:
    """Chats of 1 to 9 turns of 2 to 40 words."""
    draw = random.Random(1)

    def say() -> str:
        return " ".join(draw.choices(WORDS, k=round(2 * 20 ** draw.random())))

    made = []
    for number in range(count):
        roles = ("user", "assistant") * draw.randrange(5) + ("user",)
        turns = tuple(Turn("assistant" if role == "assistant" else "user", say()) for role in roles)
        made.append(Case(f"c{number}", "test", Conversation(f"c{number}", turns), Turn("assistant", say())))
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=96)
    parser.add_argument("--new", type=int, default=48)
    given = parser.parse_args()
    quiet()
    set_threads(1)
    model, tokenizer = load(given.folder, given.folder, plain("parley-tiny"))
    template = template_of(tokenizer)
    prompts = [prompt_of(template, one, max_new_tokens=given.new, context=2048) for one in cases(given.cases)]

    def run(batch: int, part: list[Prompt]) -> tuple[float, float, list[str]]:
        start = time.process_time()
        answers = answers_to(model, template, part, sampling=Sampling(given.new), batch_size=batch)
        middle = time.process_time()
        reference_logprobs(model, part, batch_size=batch)
        return middle - start, time.process_time() - middle, [answer.text for answer in answers]

    generation.stop_ids = lambda model, template: [len(tokenizer) - 1]
    run(4, prompts[:4])
    lengths = sorted(len(prompt.ids) for prompt in prompts)
    print(f"{len(prompts)} prompts of {lengths[0]} to {lengths[-1]} tokens (median {lengths[len(lengths) // 2]})\n")
    alone, scored_alone, texts = run(1, prompts)
    print("| cases side by side | answers, s | times batch 1 | references, s | times batch 1 | same answers |")
    print("|---|---|---|---|---|---|")
    for batch in (1, 4, 16, 32):
        took, scored, found = (alone, scored_alone, texts) if batch == 1 else run(batch, prompts)
        same = sum(one == other for one, other in zip(texts, found, strict=True))
        print(
            f"| {batch} | {took:.1f} | {alone / took:.1f} | {scored:.2f} | {scored_alone / scored:.1f} "
            f"| {same} of {len(texts)} |"
        )


if __name__ == "__main__":
    main()
