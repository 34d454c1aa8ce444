"""The streaming reader gives what json.loads gives, in pieces of any size."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.errors import ParleyError
from parley.ingestion.json_stream import Fault, JsonArray
from parley.ingestion.shapes import shape_of


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[i : i + size] for i in range(0, len(text), size))


def streamed(text: bytes, size: int, key: str | None = None) -> tuple[list[Any], list[int], JsonArray]:
    """The elements and their lines; a fault is an element."""
    array = JsonArray(pieces(text, size), key=key, where="x.json")
    elements: list[Any] = []
    lines: list[int] = []
    for part in array.batches(decode):
        found = [(part, part.line, part.number)] if isinstance(part, Fault) else part
        elements += [element for element, _, _ in found]
        lines += [line for _, line, _ in found]
        assert found[-1][2] == len(elements)
    return elements, lines, array


def decode(element: bytes, line: int, number: int) -> tuple[Any, int, int]:
    return msgspec.json.decode(element), line, number


# Text that looks like the borders the reader guesses, in keys and values.
tricky = st.sampled_from(
    ['},{"id":', '"messages": [', "]}", "\\", '"', "\n", "},\n  {\n", "id", "messages", "{", "é😀"]
)
text = tricky | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | text
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=12
)
messages = st.lists(st.fixed_dictionaries({"id": text, "type": text, "more": values}) | values, max_size=8)
indents = st.sampled_from([None, 0, 2, "\t"])
sizes = st.integers(1, 60) | st.just(10_000)  # of the pieces: through an element, or of many


@given(messages, indents, sizes, st.booleans())
@settings(max_examples=200)
def test_a_list_streams_to_what_json_loads_gives(elements: list[Any], indent: Any, size: int, ascii_: bool) -> None:
    document = json.dumps(elements, indent=indent, ensure_ascii=ascii_).encode()
    found, _, array = streamed(document, size)
    assert found == json.loads(document)
    assert not array.interrupted


@given(st.dictionaries(text, values, max_size=4), messages, indents, sizes)
@settings(max_examples=200)
def test_a_list_under_a_key_streams_to_what_json_loads_gives(
    header: dict[str, Any], elements: list[Any], indent: Any, size: int
) -> None:
    header.pop("messages", None)
    document = json.dumps({**header, "messages": elements, "messageCount": 1}, indent=indent).encode()
    found, _, array = streamed(document, size, "messages")
    assert {**array.header, "messages": found, "messageCount": 1} == json.loads(document)


@given(messages, sizes)
@settings(max_examples=200)
def test_lines_are_those_of_the_file(elements: list[Any], size: int) -> None:
    inner = [json.dumps(element, indent=1) for element in elements]
    document = "\n\n[" + ",".join("\n " + element for element in inner) + "\n]"
    _, lines, _ = streamed(document.encode(), size)
    expected, line = [], 3
    for element in inner:
        expected.append(line + 1)
        line += 1 + element.count("\n")
    assert lines == expected


@given(messages.filter(len), sizes, st.data())
@settings(max_examples=150)
def test_a_cut_document_gives_every_whole_element(elements: list[Any], size: int, data: st.DataObject) -> None:
    elements = [{"id": element} for element in elements]
    document = json.dumps({"channel": 1, "messages": elements}, indent=2).encode()
    start = document.index(b"[", document.index(b'"messages"')) + 1
    cut = data.draw(st.integers(start, len(document) - 1))
    found, _, array = streamed(document[:cut], size, "messages")
    tail = len("\n  ]\n}")
    ends = [
        len(json.dumps({"channel": 1, "messages": elements[:n]}, indent=2)) - tail for n in range(1, len(elements) + 1)
    ]
    whole = [element for element in found if not isinstance(element, Fault)]
    assert whole == [element for element, end in zip(elements, ends, strict=True) if end <= cut]
    assert array.interrupted


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'[{"a":1},{"a":NaN},{"a":3}]', [{"a": 1}, "E001", {"a": 3}]),
        (b'[{"a":1},{"a":"\\ud800"},{"a":3}]', [{"a": 1}, "E017", {"a": 3}]),
        (b'[{"a":1},,{"a":3}]', [{"a": 1}, "E001", {"a": 3}]),
        (b'[{"a":1},{"a":3},]', [{"a": 1}, {"a": 3}, "E001"]),
        (b'[{"a":1},{"a":"\t"},{"a":3},{"a":4}]', [{"a": 1}, "E001", {"a": 3}, {"a": 4}]),
        (b"[" + b"[" * 5000 + b"]" * 5000 + b"]", ["E001"]),
        (b"[]", []),
        (b" [ ] \n", []),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_bad_element_is_one_fault(document: bytes, expected: list[Any], size: int) -> None:
    found, _, _ = streamed(document, size)
    assert [part.code if isinstance(part, Fault) else part for part in found] == expected


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"1", b'{"a":[1]}', b"x", b'"messages": [1]', b'{"x":{"messages":[1]}}']
)
def test_what_is_no_such_document_is_refused(document: bytes) -> None:
    with pytest.raises(ParleyError, match=r"x\.json"):
        streamed(document, 10, "messages")


@pytest.mark.parametrize("document", [b'{"messages":[1]}{"messages":[2]}', b'{"messages":[1],"messages":[2]}'])
def test_two_documents_in_one_file_are_refused(document: bytes) -> None:
    with pytest.raises(ParleyError, match="after the end of the list"):
        streamed(document, 10, "messages")


def test_an_element_of_many_pieces_with_borders_in_its_strings_takes_linear_time() -> None:
    inner = '},{"id":"1","type":"x"},{"id":' * 100_000
    document = json.dumps([{"id": "1", "type": "x"}, {"id": "2", "type": inner}, {"id": "3", "type": "x"}]).encode()
    found, _, _ = streamed(document, 4096)
    assert [element["id"] for element in found] == ["1", "2", "3"]
    assert found[1]["type"] == inner


def test_shape_names_the_keys_of_the_first_record() -> None:
    row = b'{"id": 1, "messages": [{"role": "user", "content": [{"type": {"deep": {"deeper": 1}}}]}], "x": "}'
    expected = {"id", "messages", "messages[].role", "messages[].content", "messages[].content[].type", "x"}
    assert shape_of(row) == expected
    assert shape_of(b" [" + row) == expected
    assert shape_of(b'{"a": {"b": [1]}}\n{"c": 1}') == {"a", "a.b"}
    assert shape_of(b'[{"a": [{"b": []}], "c": 2}, {"d": 1}]') == {"a", "a[].b", "c"}
    assert shape_of(b"plain text") == shape_of(b"") == frozenset()


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 18])
@pytest.mark.parametrize("indent", [None, 1])
def test_lists_inside_lists_are_read_one_after_another(size: int, indent: int | None) -> None:
    boats = [
        {
            "name": f"boat {n}",
            "tags": {"messages": 5},
            "messages": [{"id": m, "text": '"messages": ['} for m in range(n)],
        }
        for n in (0, 3, 1, 0, 40)
    ]
    document = {"about": "", "chats": {"list": boats}, "left_chats": {"about": "x", "list": boats[1:2]}}
    text = json.dumps(document, indent=indent).encode()
    found = walked(text, size, closing=b"}]}}")
    assert found == ([(boat["name"], boat["messages"]) for boat in [*boats, boats[1]]], False)
    assert walked(json.dumps(boats, indent=indent).encode(), size, closing=b"}]") == (
        [(boat["name"], boat["messages"]) for boat in boats],
        False,
    )
    for cut in range(text.index(b"40") if b"40" in text else len(text) // 2, len(text), 97):
        lists, interrupted = walked(text[:cut], size, closing=b"}]}}")
        assert interrupted
        assert lists[:4] == found[0][:4]


def walked(text: bytes, size: int, *, closing: bytes) -> tuple[list[tuple[str, Any]], bool]:
    """(name, whole messages) of each list, and whether the document was interrupted."""
    array = JsonArray(pieces(text, size), key="messages", where="x", closing=closing)
    lists = []
    while True:
        batches = [part for part in array.batches(decode) if not isinstance(part, Fault)]
        messages = [message for batch in batches for message, _, _ in batch]
        lists.append((array.header["name"], messages))
        if not array.reopen():
            return lists, array.interrupted


def test_a_file_of_many_lists_is_not_held_in_memory() -> None:
    chat = json.dumps({"name": "x", "messages": [{"id": 1, "text": "y" * 200}] * 20}).encode()
    text = iter([b"[", *[chat + b","] * 4000, chat, b"]"])  # 18 MB
    array = JsonArray(text, key="messages", where="x", closing=b"}]")
    lists = largest = 0
    while lists == 0 or array.reopen():
        lists += 1
        for _ in array.batches(decode):
            largest = max(largest, len(array._buffer))
    assert (lists, largest < 4 << 18) == (4001, True)


gaps = st.sampled_from(["", " ", "\n", "\n  ", "\r\n\t", "\n\n ", " \n"])


@given(messages, st.tuples(gaps, gaps, gaps), st.sampled_from([None, 0, 2]), sizes)
@settings(max_examples=200)
def test_any_spacing_between_elements_is_read(
    elements: list[Any], spaces: tuple[str, str, str], indent: Any, size: int
) -> None:
    before, after, ends = spaces
    inner = [json.dumps(element, indent=indent) for element in elements]
    document = f'{{"messages": [{ends}{(after + "," + before).join(inner)}{ends}], "count": 0}}'
    found, lines, array = streamed(document.encode(), size, "messages")
    assert found == json.loads(document)["messages"]
    assert not array.interrupted
    for element, line in zip(inner, lines, strict=True):
        assert element.splitlines()[0] in document.split("\n")[line - 1]


def message(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": str(number), "type": "Default", "author": {"id": "4", "name": "x"}, **fields}


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize(
    "odd",
    [
        {"content": '},{"id":"5","type":"Default","author":{' * 30_000},
        {"content": '},\\n    {\\n      "id": "5",\\n      "type": "Default"' * 30_000},
        {"content": "x" * 5_000_000},
        {"messages": [message(5), message(6)], "deep": {"messages": [message(7)]}},
        {"embeds": [message(number) for number in range(20_000)]},
        {"type": "Reply", "id": "2", "mentions": [{"id": "5", "type": "Default"}] * 9},
    ],
)
def test_what_looks_like_messages_inside_one_is_part_of_it(odd: dict[str, Any], indent: int | None) -> None:
    elements = [*(message(number) for number in range(900)), message(2, **odd), *map(message, range(900, 1800))]
    document = json.dumps({"messages": elements, "messageCount": 5}, indent=indent).encode()
    found, _, _ = streamed(document, 1 << 18, "messages")
    assert found == elements


def test_a_key_that_stands_twice_counts_as_the_last_one() -> None:
    document = b'[{"id": 1, "id": 2}, {"id": 3, "id": 4}, {"id": 5, "id": 6}]'
    assert streamed(document, 1000)[0] == json.loads(document)
