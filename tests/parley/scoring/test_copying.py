from hypothesis import given, settings
from hypothesis import strategies as st

from parley.scoring.copying import RUN, Index

WORDS = st.lists(st.sampled_from("ab"), max_size=30)


def longest(said: list[str], texts: list[list[str]]) -> int:
    """By trying every pair of places."""
    best = 0
    for text in texts:
        for start in range(len(said)):
            for place in range(len(text)):
                length = 0
                while (
                    start + length < len(said)
                    and place + length < len(text)
                    and said[start + length] == text[place + length]
                ):
                    length += 1
                best = max(best, length)
    return best if best >= RUN else 0


@settings(max_examples=200)
@given(WORDS, st.lists(WORDS, max_size=4))
def test_the_longest_copied_run_is_the_longest_that_there_is(said: list[str], texts: list[list[str]]) -> None:
    runs = Index(texts).runs(said)
    assert max((end - start for start, end in runs), default=0) == longest(said, texts)
    assert all(
        any(said[start:end] == text[at : at + end - start] for text in texts for at in range(len(text)))
        for start, end in runs
    )
