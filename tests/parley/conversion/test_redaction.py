"""What is planted is gone, what is ordinary stays, and a person is one person everywhere."""

import re
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import NAMED

from parley.conversion.names import ORDINARY
from parley.conversion.redaction import Redact, Redactor, pseudonyms
from parley.errors import ParleyError

KINDS = ["urls", "keys", "emails", "ibans", "cards", "ips", "phones", "names"]
ALL = Redact(kinds=KINDS, phone_region="US", model="")
PEOPLE = {
    "100000000000000001": ("ana_ruiz", "Ana Ruiz"),
    "100000000000000002": ("Will",),
    "100000000000000003": ("李雷", "Zoë"),
    "100000000000000004": ("Al",),
    "100000000000000005": ("Marguerite 🌸",),
}


def redacted(text: str, people: dict = PEOPLE, **options: object) -> str:
    return Redactor(ALL, people, **options).text(text)


NAME = Redactor(ALL, PEOPLE).name
ANA, WILL, ZOE, AL, MARGUERITE = map(NAME, sorted(PEOPLE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ana Ruiz, ANA and ana_ruiz are one", f"{ANA}, {ANA} and {ANA} are one"),
        ("banana, Anatolia, ruizing: words are left alone", "banana, Anatolia, ruizing: words are left alone"),
        ("hey @Ana Ruiz!", f"hey @{ANA}!"),
        ("<@100000000000000001> and <@!100000000000000003>", f"@{ANA} and @{ZOE}"),
        ("<@999> is nobody we know", "@<name> is nobody we know"),
        ("ask @old_friend.x, @everyone; mail a@b", "ask @<name>, @everyone; mail a@b"),
        ("```py\n@property``` `@old_friend` @old_friend", "```py\n@property``` `@old_friend` @<name>"),
        ("Will you? I will. Ask Will, @will knows", f"Will you? I will. Ask {WILL}, @{WILL} knows"),
        ("我和李雷去", f"我和{ZOE}去"),
        ("我和Zoë去", f"我和{ZOE}去"),
        ("zoe\u0308 in two characters", f"{ZOE} in two characters"),
        ("Al said al, @Al", f"Al said al, @{AL}"),
        ("marguerite without her flower", f"{MARGUERITE} without her flower"),
        ("user 100000000000000005 wrote", f"user {MARGUERITE} wrote"),
        ("my_ana_file.txt and #/ana/x", f"my_{ANA}_file.txt and #/{ANA}/x"),
    ],
)
def test_names_are_replaced_where_they_are_names(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(("sentence", "name"), NAMED)
def test_a_participants_name_is_found_in_any_script(sentence: str, name: str) -> None:
    assert redacted(sentence.format(name), {"1": (name,)}) == sentence.format("Robin")


def test_what_was_found_is_counted_by_kind() -> None:
    redactor = Redactor(ALL, PEOPLE)
    redactor.text("Ana: ana@example.org, a@b.example, 650-253-0000")
    redactor.label("Direct Messages - Ana.json:17")
    assert redactor.counts == {"names": 1, "emails": 2, "phones": 1}


def test_a_file_named_after_a_person_is_redacted_and_its_line_stays() -> None:
    assert Redactor(ALL, PEOPLE).label("Direct Messages - Ana Ruiz [1].json:650253") == (
        f"Direct Messages - {ANA} [1].json:650253"
    )


def test_every_string_of_a_value_is_redacted() -> None:
    value = {"to": ["ana@example.org", 3, None], "deep": {"who": "Ana"}}
    assert Redactor(ALL, PEOPLE).value(value) == {"to": ["<email>", 3, None], "deep": {"who": ANA}}


def test_a_model_that_is_not_installed_is_named_with_a_way_out() -> None:
    for model, hint in (("presidio", "pip install presidio-analyzer"), ("xx_none_sm", "spacy download xx_none_sm")):
        with pytest.raises(ParleyError, match=f"redact.model: '{model}' is not installed .*{hint}"):
            Redactor(Redact(kinds=KINDS, phone_region="US", model=model), PEOPLE)


def test_what_an_installed_model_finds_goes_but_pseudonyms_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """spaCy is not among parley's packages: a module that finds what is written large stands in for it."""

    def pipeline(text: str) -> SimpleNamespace:
        labels = {"Gdynia": "GPE", "Monday": "DATE"}
        found = ((match.start(), match.end(), labels.get(match[0], "PER")) for match in re.finditer("[A-Z]\\w+", text))
        return SimpleNamespace(ents=[SimpleNamespace(start_char=s, end_char=e, label_=label) for s, e, label in found])

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=lambda name: pipeline))
    redactor = Redactor(Redact(kinds=KINDS, phone_region="US", model="xx"), PEOPLE)
    text = "Ana met Zbigniew in Gdynia on Monday, ana@example.org"
    assert redactor.text(text) == f"{ANA} met <name> in <place> on Monday, <email>"
    assert redactor.counts == {"emails": 1, "names": 1, "model": 2}


def test_names_of_the_opted_out_go_even_when_names_are_kept() -> None:
    kept = Redact(kinds=[], phone_region="US", model="")
    redactor = Redactor(kept, PEOPLE, opted_out=["100000000000000001"])
    assert redactor.text("Ana and Zoë, <@100000000000000001>") == "<name> and Zoë, @<name>"
    assert redactor.name("100000000000000003") == "李雷"
    assert redactor.name("100000000000000001") == "<name>"


def test_a_part_that_many_share_points_at_nobody() -> None:
    people = {f"{number}": (f"Crew {letter * 3}",) for number, letter in enumerate("abcde")}
    assert redacted("the crew is here", people) == "the crew is here"
    assert redacted("the Crew aaa", people) != "the Crew aaa"


def test_a_first_name_that_is_a_word_goes_where_it_is_written_large() -> None:
    text = "thanks Grace, by the grace of it. May I? Uncle said so"
    assert redacted(text, {"1": ("Grace May", "Uncle Grace")}) == text.replace("thanks Grace", "thanks Robin")


def test_pseudonyms_do_not_depend_on_the_order_of_people_and_avoid_their_names() -> None:
    people = {"2": ("Robin Hood",), "1": ("alexis",), "3": ("Ana",)}
    found = pseudonyms(people, people)
    assert found == pseudonyms(dict(reversed(people.items())), reversed(list(people)))
    assert not {"Robin", "Alexis"} & set(found.values())


def test_many_people_have_different_pseudonyms() -> None:
    people = {f"{number:04}": () for number in range(500)}
    assert len(set(pseudonyms(people, people).values())) == 500


words = st.text(alphabet="bcdfghjklmnpqrstvwxyz", min_size=5, max_size=9)
sentence = st.lists(st.sampled_from([*sorted(ORDINARY), "banana", "letters", "2024", "—", "🌸"]), max_size=8).map(
    " ".join
)


@given(names=st.lists(words, min_size=1, max_size=6, unique=True), before=sentence, after=sentence, data=st.data())
def test_no_planted_name_address_or_number_is_left(
    names: list[str], before: str, after: str, data: st.DataObject
) -> None:
    people = {f"9{number:09}": (f"{name.title()} {name[::-1]}",) for number, name in enumerate(names)}
    planted = data.draw(st.sampled_from(names))
    shown = data.draw(st.sampled_from([planted, planted.upper(), planted.title(), f"@{planted}", f"({planted})"]))
    text = f"{before} {shown} {planted}@example.org +1 650 253 0000, {after}"
    result = redacted(text, people)
    assert planted not in result.casefold()
    assert "example" not in result and "253" not in result
    assert result.startswith(before) and result.endswith(after)  # ordinary words are as they were
    assert redacted(result, people) == result


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 200_000, "a@" * 100_000, "1 " * 5_000, "@" * 200_000, "ana " * 50_000, "a.@a." * 40_000),
        *("a." * 100_000 + "/", "a://" * 50_000, "://" + "." * 100_000, "-----BEGIN PRIVATE KEY-----" * 8_000),
        *(
            "4 " * 50_000,
            "AB12" * 50_000,
            "AB12 " * 40_000,
            "1:" * 50_000,
            "token=" * 30_000,
            "password: " + "a" * 100_000,
        ),
    ],
)
def test_hostile_texts_cost_no_more_than_long_ones(text: str) -> None:
    start = time.process_time()
    redacted(text)
    assert time.process_time() - start < 5  # seconds; a quadratic step would take minutes


def test_the_word_list_holds_words() -> None:
    assert all(re.fullmatch(r"[a-z]{3,}", word) or word in {"my"} for word in ORDINARY)
