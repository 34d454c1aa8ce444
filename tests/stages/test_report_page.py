"""What the report's page is made of, and that it is safe to open and easy to read."""

import itertools
import json
import re
from pathlib import Path

from parley.files import write_json
from parley.jsonl import rows_into
from parley.scoring.scorecard import Curve, Figure, Scorecard, block
from stages import report, score
from tests.reported import ATTACK, Page, change, html, markdown, score_of


def test_texts_and_names_are_escaped(inputs: Path) -> None:
    for name in ("base", "train"):
        change(inputs / f"metrics/{name}.json", **{"name" if name == "base" else "mode": f"a|{ATTACK}"})
    change(inputs / "metrics/judge.json", reason=ATTACK)
    text = (inputs / "params.yaml").read_text().replace("recipe: persona", f"recipe: '{ATTACK}'")
    (inputs / "params.yaml").write_text(text)
    report.main(inputs)
    page = Page(html(inputs))
    assert not page.named("script") and not page.named("img")
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert page.text.count(ATTACK) >= 3 + 12 * 2
    assert "<img" not in markdown(inputs) and "<script" not in markdown(inputs)


def test_page_asks_for_nothing_from_outside(walked: Path) -> None:
    page = html(walked)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not re.search(r"https?:|url\(|@import|//\w", page)
    tags = Page(page)
    assert {tag for tag, _ in tags.tags}.isdisjoint({"link", "iframe", "script", "object", "embed", "form", "base"})
    assert all((attributes["href"] or "").startswith("#") for attributes in tags.named("a"))
    assert not [name for _, attributes in tags.tags for name in attributes if name in ("src", "srcset", "action")]


def test_page_has_headings_scopes_and_captions(walked: Path) -> None:
    page = Page(html(walked))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(cell["scope"] in ("row", "col") for cell in page.named("th"))
    assert len(page.named("caption")) == len(page.named("table"))
    assert page.named("html") == [{"lang": "en"}]
    targets = {attributes.get("id") for _, attributes in page.tags}
    assert {(link["href"] or "")[1:] for link in page.named("a")} <= targets


def test_loss_curve_is_drawn_from_the_log(walked: Path) -> None:
    page = html(walked)
    chart = page[page.index('aria-label="Loss"') :].split("</svg>")[0]
    assert len(re.findall(r'class="line line-\d dash-0"', chart)) == 2
    assert len(re.findall("<circle", chart)) == 3 + 2
    assert "learning rate" in page


def test_samples_stand_side_by_side_evenly_spaced(walked: Path) -> None:
    page = html(walked)
    shown = re.findall(r"Case \d+: <code>(.*?)</code>", page)
    numbers = [number for number in range(24) if number % 4]
    assert shown == [f"c{numbers[place * 18 // 12]}#3" for place in range(12)]
    text = Page(page).text
    assert "12 of 18 test cases" in text
    assert "reference 1" in text and "tuned answer 1" in text and "(empty answer)" in text
    assert 'look({"at": "<b>bold</b>"})' in text
    assert "cut off after 7 tokens" in text


def test_samples_can_be_filtered_without_a_script(walked: Path) -> None:
    page = html(walked)
    offered = re.findall(r'id="show-(\d)">\s(.*?) \((\d+)\)', page)
    assert offered == [("1", "an empty answer", "1")]  # every tuned answer is nearer, every base answer cut: no choice
    assert page.count('<article class="case mark-1">') == 1
    assert "#answers:has(#show-1:checked) .case:not(.mark-1) { display: none; }" in page


def test_samples_can_be_filtered_by_what_the_recipe_says_of_them(inputs: Path) -> None:
    path = inputs / "data/eval/cases.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["labels"] = {"cell": f"<b>{number % 2}", "own": str(number), "all": "same"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score.main(inputs)
    report.main(inputs)
    page = html(inputs)
    assert re.findall(r"&lt;b&gt;(\d) \((\d+)\)</label>", page) == [("0", "6"), ("1", "6")]
    assert "own: " not in page and "all: same" not in page


def test_colours_can_be_read_in_light_and_dark(walked: Path) -> None:
    style = html(walked).split("<style>")[1].split("</style>")[0]
    schemes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    assert len(schemes) == 3  # light, dark, print
    for colours in schemes:
        for name in ("ink", "soft", "tuned", "base", "good", "bad"):
            for ground in ("paper", "panel"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""

    def luminance(colour: str) -> float:
        digits = "".join(digit * 2 for digit in colour[1:]) if len(colour) == 4 else colour[1:]
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_no_samples_when_none_are_wanted(inputs: Path) -> None:
    params = (inputs / "params.yaml").read_text()
    (inputs / "params.yaml").write_text(params.replace("samples: 12", "samples: 0"))
    report.main(inputs)
    assert "Answers side by side" not in html(inputs)
    assert "tuned answer" not in html(inputs)


def test_a_scorecard_is_drawn_from_its_figures_and_curves_alone(inputs: Path) -> None:
    entry = score_of(inputs, "rouge_l") | {"unit": "rate"}
    missing = {"unit": "rate", "higher_is_better": True, "n": 0, "groups": 0, "unscored": {}}
    missing |= {"value": None, "not_scored": "no case in this split"}
    figures = [
        Figure("second_name", entry, about=f"what it is {ATTACK}"),
        Figure("first_name", missing, split="val"),
        Figure("second_name", entry, slice=f"tool {ATTACK}"),
    ]
    curve = Curve(f"ROC {ATTACK}", "false alarms", "hits", {"tuned": [(0.0, 0.0), (1.0, 1.0)], "none": []})
    change(inputs / "metrics/scores.json", recipe=block(Scorecard(figures, [curve])))
    report.main(inputs)
    page = Page(html(inputs))
    text = " ".join(page.text.split())
    assert not page.named("script") and not page.named("img")
    assert f"second_name what it is {ATTACK} rate, higher is better; n = 18 in 18 groups" in text
    assert "in slices: second_name. Tuned" in text and f"tool {ATTACK}" in text and "hits by false alarms" in text
    assert "not scored: no case in this split" in text
    assert len(page.named("caption")) == len(page.named("table"))
    assert "| second_name | rate |" in markdown(inputs)
    assert "| first_name | rate | not scored: no case in this split |" in markdown(inputs)


def test_figures_of_the_same_slices_share_a_table(inputs: Path) -> None:
    entry = score_of(inputs, "rouge_l") | {"unit": "rate"}
    cut = {"found": ("tool a", "tool b"), "called": ("tool a", "tool b"), "conflict": ("trigger", "none")}
    figures = [Figure(name, entry, slice=part) for name, parts in cut.items() for part in parts]
    change(inputs / "metrics/scores.json", recipe=block(Scorecard(figures)))
    report.main(inputs)
    captions = re.findall(r"<caption>(Test split, in slices: .*?)\. ", html(inputs))
    assert captions == ["Test split, in slices: found, called", "Test split, in slices: conflict"]
    assert "| found, tool a | rate |" in markdown(inputs)


def test_without_a_scorecard_the_page_has_no_part_for_it(inputs: Path) -> None:
    change(inputs / "metrics/scores.json", recipe={})
    report.main(inputs)
    assert "recipe's own numbers" not in html(inputs) + markdown(inputs)


def test_verdicts_stand_beside_their_answers(inputs: Path) -> None:
    verdicts = [
        {"id": "c1#3", "model": "tuned", "metric": "coherence", "score": 0.75, "reason": f"fits {ATTACK}", "kind": ""},
        {"id": "c1#3", "model": "base", "metric": "coherence", "score": None, "reason": "", "kind": "blocked"},
    ]
    with rows_into(inputs / "data/eval/verdicts.jsonl") as add:
        for row in verdicts:
            add({**row, "status": "", "passed": None})
    entry = score_of(inputs, "rouge_l") | {
        "unit": "score 0-1",
        "threshold": 0.5,
        "coverage": {"tuned": {"scored": 17, "total": 18}, "base": {"scored": 18, "total": 18}},
        "pass_rate": {model: {"value": 0.5, "low": 0.25, "high": 0.75} for model in ("tuned", "base", "difference")},
    }
    entry["also"] = {"both orders agree": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 18}}
    judge = {"client": "gemini", "model": "gemini-2.5-flash", "deepeval": "4.3.1"}
    known = {"metric": "coherence", "control": f"the person wins {ATTACK}", "value": 0.7, "low": 0.4, "high": 0.9}
    check = [
        known | {"n": 10, "unscored": 1},
        known | {"value": None, "low": None, "high": None, "n": 0, "unscored": 9},
    ]
    found = {"status": "scored", "judge": judge, "metrics": {"coherence": entry}, "check": check}
    write_json(inputs / "metrics/judge.json", found)
    report.main(inputs)
    assert "both orders agree 0.900 [0.800, 0.950]." in markdown(inputs)
    assert re.search(r"the person wins .* \| 0.700 \[0.400, 0.900\] \| 10 \| 1 \|", markdown(inputs))
    assert "| not scored | 0 | 9 |" in markdown(inputs)
    text = " ".join(Page(html(inputs)).text.split())
    assert f"coherence 0.75: fits {ATTACK}" in text
    assert "coherence not scored (blocked)" in text
    assert "verdicts on 17 of 18 tuned and 18 of 18 base answers; an answer passes from 0.5" in text
    assert "passes 0.500 [0.250, 0.750]" in text
    assert "| coherence | score 0-1 |" in markdown(inputs) and "fits" not in markdown(inputs)
