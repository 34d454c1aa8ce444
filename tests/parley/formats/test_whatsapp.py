"""WhatsApp's text exports: dates in every order, what the phone's clock does, and names with colons around them."""

from pathlib import Path
from typing import Any

import pytest

from parley.conversation import Message
from parley.errors import ParleyError
from parley.formats import whatsapp
from parley.ingestion.reading import Rejected


def read(tmp_path: Path, *lines: str, date_order: str = "auto") -> list[Any]:
    path = tmp_path / "chat.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert whatsapp.recognises(path.read_bytes(), path.name)
    return list(whatsapp.read(path, path.name, date_order=date_order))


@pytest.mark.parametrize(
    "line",
    [
        "31/12/2023, 21:41 - Ann: hi",
        "31.12.23, 21:41 - Ann: hi",
        "12/31/23, 9:41 PM - Ann: hi",
        "12/31/23, 9:41\u202fp.\u202fm. - Ann: hi",
        "[2023-12-31, 21:41:00] Ann: hi",
        "\u200e[31/12/2023, 9:41:00\u202fPM] ~\u202fAnn: hi",
        "2023/12/31 21:41 - Ann: hi",
    ],
)
def test_a_date_of_any_country_is_read(tmp_path: Path, line: str) -> None:
    (found,) = read(tmp_path, line)
    assert (found.time, found.author, found.text) == (1_704_058_860_000, "Ann", "hi")


def test_midnight_and_noon_in_twelve_hours(tmp_path: Path) -> None:
    found = read(tmp_path, "12/31/23, 12:01 AM - Ann: hi", "12/31/23, 12:01 PM - Ann: hi")
    assert [one.time for one in found] == [1_703_980_860_000, 1_704_024_060_000]


def test_the_order_of_day_and_month_is_that_in_which_time_goes_on(tmp_path: Path) -> None:
    lines = ["1/2/24, 10:00 - Ann: a", "2/2/24, 10:00 - Ann: b", "1/3/24, 10:00 - Ann: c"]  # 1 and 2 February, 1 March
    assert [one.time for one in read(tmp_path, *lines)] == [1_706_781_600_000, 1_706_868_000_000, 1_709_287_200_000]


def test_dates_that_fit_both_orders_stop_until_a_setting_decides(tmp_path: Path) -> None:
    lines = ["1/2/24, 10:00 - Ann: a", "3/4/24, 10:00 - Ann: b"]
    with pytest.raises(ParleyError, match=r"chat\.txt: the dates fit both .* ingest\.date_order"):
        read(tmp_path, *lines)
    assert read(tmp_path, *lines, date_order="day_first")[0].time == 1_706_781_600_000
    assert read(tmp_path, *lines, date_order="month_first")[0].time == 1_704_189_600_000
    with pytest.raises(ParleyError, match="fit neither"):
        read(tmp_path, "13/1/24, 10:00 - Ann: a", "1/13/24, 10:00 - Ann: b")
    assert [type(one) for one in read(tmp_path, "13/1/24, 10:00 - Ann: a", date_order="month_first")] == [Rejected]


def test_no_message_is_lost_or_moved_when_the_clock_goes_back(tmp_path: Path) -> None:
    lines = [
        "27/10/24, 02:59 - Ann: a",
        "27/10/24, 02:00 - Bob: b",
        "27/10/24, 02:59 - Ann: c",
        "27/10/24, 03:00 - Ann: d",
    ]
    found = sorted(read(tmp_path, *lines), key=lambda one: (one.time, len(one.id), one.id))
    assert [one.text for one in found] == ["a", "b", "c", "d"]
    assert len({one.id for one in found}) == 4


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("Ann: 3: 2 for us", "message", "3: 2 for us"),
        ("Ann: <Medien ausgeschlossen>", "attachment", ""),
        ("Ann: \u200eIMG-1.jpg (Datei angehängt)", "attachment", ""),
        ("Ann: <b>", "message", "<b>"),
        ("Ann: \u200eThis message was deleted.", "system:notice", "This message was deleted."),
        ("Ann: This message was deleted", "system:notice", "This message was deleted"),
        ("Ann: Du hast diese Nachricht gelöscht.", "system:notice", "Du hast diese Nachricht gelöscht."),
        ("Ann: This message was deleted by me", "message", "This message was deleted by me"),
        ("Ann: ", "empty", ""),
        ("Ann:", "empty", ""),
        ("Ann left", "system:notice", "Ann left"),
    ],
)
def test_only_speech_has_the_kind_message(tmp_path: Path, body: str, kind: str, text: str) -> None:
    (found,) = read(tmp_path, f"31/12/2023, 21:41 - {body}")
    assert isinstance(found, Message)
    assert (found.kind, found.text) == (kind, text)


def test_lines_before_the_first_message_are_not_lost_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("notes of mine\n31/12/2023, 21:41 - Ann: hi\n")
    with pytest.raises(ParleyError, match="does not begin with a date and a time"):
        list(whatsapp.read(path, path.name, date_order="auto"))
