"""Near duplicates are found as the exact Jaccard similarity of 5-character pieces says."""

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from parley.validation.near import KEPT, Near, _hashes, similarity


def exact(one: str, other: str) -> float:
    first, second = ({text[place : place + 5] for place in range(len(text) - 4)} for text in (one, other))
    return len(first & second) / len(first | second)


def sketch_similarity(*texts: str) -> float:
    near = Near(0.85)
    for text in texts:
        near.add(text)
    return similarity(*near.pieces)


short = st.text(alphabet="abc 你", min_size=5, max_size=60)


@given(short, short)
def test_similarity_is_exact_for_short_texts(one: str, other: str) -> None:
    assert sketch_similarity(one, other) == exact(one, other)


def test_similarity_of_long_texts_is_near() -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(400)]
    for edits in (1, 10, 40):
        edited = [word if place % 400 >= edits else word[::-1] for place, word in enumerate(words)]
        one, other = " ".join(words), " ".join(edited)
        assert len(_hashes(one)) > KEPT
        assert abs(sketch_similarity(one, other) - exact(one, other)) < 0.1


def test_edited_copies_are_found_and_others_are_not() -> None:
    draw = random.Random(1)
    texts = [
        " ".join("".join(draw.choices("abcdefghij", k=5)) for _ in range(draw.randrange(8, 90))) for _ in range(400)
    ]
    copies = {place: draw.randrange(200) for place in range(200, 300)}
    for place, of in copies.items():
        letters = list(texts[of])
        letters[draw.randrange(len(letters))] = "z"
        texts[place] = "".join(letters)
    near = Near(0.85)
    for text in texts:
        near.add(text)
    found = near.duplicates()
    wanted = {place for place, of in copies.items() if exact(texts[place], texts[of]) >= 0.85}
    assert len(wanted) > 80
    assert found.keys() <= copies.keys() and len(wanted - found.keys()) <= 1
    assert all(other not in found and other < place for place, (other, _) in found.items())


def test_texts_shorter_than_a_piece_and_none_at_all() -> None:
    assert Near(0.85).duplicates() == {}
    near = Near(0.85)
    for text in ("", "a", "a", "b"):
        near.add(text)
    assert near.duplicates() == {2: (1, 1.0)}


def test_boilerplate_does_not_cost_its_square() -> None:
    near = Near(1.0)
    for number in range(2_000):
        near.add("the same long boilerplate stands at the head of each of these texts " * 3 + str(number))
    start = time.process_time()
    near.duplicates()
    assert time.process_time() - start < 5  # seconds; 2 million comparisons would take 20
