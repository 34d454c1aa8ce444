"""Files in every encoding come out as the same UTF-8."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parley.errors import ParleyError
from parley.ingestion import reading
from parley.ingestion.reading import HEAD, head_of, pieces_of

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(st.characters(exclude_categories=["Cs"])), size=st.integers(1, 9))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_encoding_gives_the_same_bytes(tmp_path: Path, encoding: str, text: str, size: int) -> None:
    file = tmp_path / "x.json"
    document = f'["{text}"]'
    file.write_bytes(document.encode(encoding))
    counted: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "told", counted.append)
        assert b"".join(pieces_of(file, size=max(size, 4))) == document.encode()
    mark = len(document.encode(encoding)) - len(document.encode(encoding.removesuffix("-sig")))
    assert sum(counted) >= file.stat().st_size - max(mark, 4)  # every byte but its mark


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\xff\xfe[\x00\x00\xd8]\x00", "byte 4"),
        (b"[\x00]\x00x", "byte 4"),
        (b"\xff\xfe\x00\x00[\x00\x00\x00\xff\xff\xff\xff", "byte 8"),
    ],
)
def test_what_is_no_utf_16_or_32_after_all_is_refused_with_its_byte(tmp_path: Path, data: bytes, place: str) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(data)
    with pytest.raises(ParleyError, match=place):
        list(pieces_of(file))


def test_a_head_ends_at_a_character(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b"x" + "é".encode() * HEAD)
    assert head_of(file) == b"x" + "é".encode() * ((HEAD - 1) // 2)
    file.write_bytes(b"")
    assert head_of(file) == b""
