"""What points at a person or opens a door is found in any language; what only looks like it stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import PLANTED

from parley.conversion.identifiers import cards, emails, ibans, ips, keys, phones, urls
from parley.conversion.redaction import Redact, Redactor
from parley.errors import ParleyError

KINDS = ["urls", "keys", "emails", "ibans", "cards", "ips", "phones"]


def redactor() -> Redactor:
    return Redactor(Redact(kinds=KINDS, phone_region="US", model=""), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail ana@example.org now", "mail <email> now"),
        ("<ana.r+x@mail.example.co.uk>, ok?", "<<email>>, ok?"),
        ("müller@bücher.example", "<email>"),
        ("at @home on 2024-01-02, see a@b", "at @home on 2024-01-02, see a@b"),
        ("call 650-253-0000 or +49 30 901820.", "call <phone> or <phone>."),
        ("+1 650 253 0000 2024 and C++11 or 1+1", "<phone> and C++11 or 1+1"),
        (
            "order 12345678901234567890 at 20:49:21 on 2024-12-28",
            "order 12345678901234567890 at 20:49:21 on 2024-12-28",
        ),
    ],
)
def test_addresses_and_numbers_are_replaced(text: str, expected: str) -> None:
    assert redactor().text(text) == expected


@pytest.mark.parametrize(("kind", "sentence", "planted"), PLANTED)
def test_what_is_planted_is_replaced_and_counted_by_its_kind(kind: str, sentence: str, planted: str) -> None:
    found = redactor()
    assert found.text(sentence.format(planted)) == sentence.format(f"<{kind[:-1]}>")
    assert found.counts == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "and/or, 1/2, e.g. this, http is a word, a.b and x.y",
        "the secret: always smile. token: please. keyboard is fine; my password is long",
        "id 1234567890123456789 and <@200000000000000001>, at 1700000000000",
        "4111 1111 1111 1112 fails its check, and so does GB83 WEST 1234 5698 7654 32",
        "127.0.0.1, ::1 and 0.0.0.0 are everybody's; 300.1.1.1, v1.2.3 and std::vector, a::b, 20:49:21 are none",
        "on 01-02-2024, 2024-01-02 or 09.11.1989, in 2019-2024, 10 000 000 and 3,141,592",
        "sk-learn, AKIA, eyJ, ghp_short and SGD.adam",
        "call 10 000 000 people, phone me 2024-01-02 or 01-02-2024, call it 2016-2019, 2019-2020 office rents",
        "called 1322667734953099307; recall 1234 5678, tell 1234 5678, 1200 1300 points; call at 10 20",
        "at 01 4589 40th Street",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redactor().text(text) == text


def test_two_in_a_row_are_both_found() -> None:
    one, other = "DE89 3704 0044 0532 0130 00", "4111111111111111"
    assert ibans(f"{one} {one}") == ("<iban> <iban>", 2)
    assert cards(f"{other} {other}") == ("<card> <card>", 2)


def test_an_unknown_region_is_refused_by_name() -> None:
    with pytest.raises(ParleyError, match=r"redact\.phone_region: 'XX'"):
        phones("XX")


@given(st.text(alphabet="ab@. \n-,:/<>+0123456789AB", max_size=200))
def test_what_is_left_holds_none(text: str) -> None:
    for step in (urls, emails, cards, ibans, ips, keys):
        once, _ = step(text)
        assert step(once) == (once, 0)
