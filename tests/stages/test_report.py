import itertools
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from parley.conversation import Conversation, ToolCall, Turn, to_sharegpt
from parley.encoding.examples import Example, write_examples
from parley.errors import ParleyError
from parley.evaluation import Case, Generation, case_row, generation_row
from parley.files import read_json, write_json
from parley.jsonl import rows_into
from parley.scoring.scorecard import Curve, Figure, Scorecard, block
from parley.stage import write_counts
from stages import report, score

REPO = Path(__file__).parents[2]
ATTACK = '<img src=x onerror="alert(1)"></style><script>alert(2)</script>'


class Page(HTMLParser):
    """What a browser would make of a page: its tags with attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def lay(root: Path, *, better: float = 2.0, cases: int = 24) -> None:
    """Every input of the report, small; the tuned model is `better` nats a token better than its base."""
    shutil.copy(REPO / "params.yaml", root)
    with rows_into(root / "data/eval/cases.jsonl") as add:
        for number in range(cases):
            turns = (Turn("user", f"first {number}"), Turn("assistant", "mine"), Turn("user", f"{ATTACK} {number}"))
            context = Conversation(f"c{number}", turns, group=f"g{number}")
            reference = Turn("assistant", f"reference {number}", (ToolCall("look", {"at": "<b>bold</b>"}),))
            add(case_row(Case(f"c{number}#3", "test" if number % 4 else "val", context, reference)))
    for model, gain in (("tuned", better), ("base", 0.0)):
        with rows_into(root / f"data/eval/{model}.jsonl") as add:
            for number in range(cases):
                surprise = -4.0 - number % 3 + gain + (number % 5) / 10 * (model == "tuned")
                text = "" if model == "base" and number == 1 else f"{model} answer {number} {ATTACK}"
                finish = "length" if model == "base" else "stop"
                add(generation_row(Generation(f"c{number}#3", text, finish, 7, (surprise, surprise))))
    with rows_into(root / "data/eval/verdicts.jsonl"):
        pass
    metrics = root / "metrics"
    base = {"name": "parley-tiny", "kind": "embedded", "revision": "", "template": "chatml"}
    write_json(metrics / "base.json", base)
    write_counts(metrics / "ingest.json", rows_in=1200, rows_out=1150, dropped=Counter(bot=30, E001=20))
    write_counts(metrics / "convert.json", rows_in=1150, rows_out=1150, dropped=Counter(), conversations=90)
    write_counts(metrics / "data.json", rows_in=90, rows_out=88, dropped=Counter(W101=2))
    for split in ("train", "val", "test"):
        with rows_into(root / f"data/splits/{split}.jsonl") as add:
            for number in range(4):
                add(
                    to_sharegpt(
                        Conversation(f"{split}{number}", (Turn("user", f"q{ATTACK}"), Turn("assistant", "mine")))
                    )
                )
        write_examples(root / f"data/encoded/{split}.parquet", [Example(split, [1, 2, 3], [-100, 2, 3])])
    for stage in ("ingest", "convert", "validate", "encode"):
        with rows_into(root / f"data/rejects/{stage}.jsonl") as add:
            add({"source": f"{ATTACK}:7", "id": "", "code": "E001", "reason": ATTACK})
    write_counts(metrics / "encode.json", rows_in=76, rows_out=75, dropped=Counter(E018=1))
    evaluations = [{"epoch": 0.0, "step": 0, "loss": 7.5}, {"epoch": 1.0, "step": 3, "loss": 1.25}]
    train = {"base": base, "mode": "lora", "steps": 3, "data": {"sha256": "5a" * 32, "examples": 64}}
    write_json(metrics / "train.json", {**train, "eval": evaluations})
    (metrics / "train_log.csv").write_text("step,loss,lr,grad_norm\n1,6.5,0.001,\n2,3.5,0.003,1.5\n3,1.5,0.001,1\n")
    write_json(metrics / "merge.json", {"max_logit_difference": 3.25e-06})
    judge = {"client": "gemini", "model": "gemini-2.5-flash"}
    reason = "no GEMINI_API_KEY"
    write_json(metrics / "judge.json", {"status": "not_scored", "reason": reason, "judge": judge, "metrics": {}})
    score.main(root)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a report in it, shared by the tests that only look."""
    root = tmp_path_factory.mktemp("walked")
    lay(root)
    report.main(root)
    return root


@pytest.fixture
def inputs(walked: Path, tmp_path: Path) -> Path:
    """A copy of the inputs, to change."""
    shutil.copytree(walked, tmp_path, dirs_exist_ok=True)
    return tmp_path


def html(root: Path) -> str:
    return (root / "metrics/report.html").read_text(encoding="utf-8")


def markdown(root: Path) -> str:
    return (root / "metrics/report.md").read_text(encoding="utf-8")


def change(path: Path, **values: Any) -> None:
    found = read_json(path)
    found.pop("schema")
    write_json(path, {**found, **values})


def test_headline_says_by_how_much_how_sure_and_on_how_many(walked: Path) -> None:
    found = score_of(walked, "perplexity")
    assert found["difference"]["high"] < 0
    sentence = re.search(r'<p class="lead">(.*?)</p>', html(walked))
    assert sentence and "on 18 test cases from 18 conversation groups" in sentence[1]
    assert re.search(r"\d times lower \(95 % interval: \d\S* to \d\S* times lower\)", sentence[1])
    assert "<h1>Better than its base</h1>" in html(walked)
    assert markdown(walked).startswith("# Better than its base: persona on parley-tiny\n")


def score_of(root: Path, metric: str) -> dict[str, Any]:
    return read_json(root / "metrics/scores.json")["test"][metric]


@pytest.mark.parametrize(
    ("better", "title"), [(-2.0, "Worse than its base"), (-0.2, "No difference from its base shown")]
)
def test_headline_is_as_honest_about_bad_news(tmp_path: Path, better: float, title: str) -> None:
    lay(tmp_path, better=better)
    report.main(tmp_path)
    assert f"<h1>{title}</h1>" in html(tmp_path)
    assert "Better than its base" not in html(tmp_path) + markdown(tmp_path)


def test_one_conversation_gives_no_interval_and_no_claim(tmp_path: Path) -> None:
    lay(tmp_path, cases=2)
    report.main(tmp_path)
    assert "<h1>Not known whether it is better</h1>" in html(tmp_path)
    assert "no interval" in html(tmp_path)


def test_what_is_not_scored_says_why_and_is_no_zero(inputs: Path) -> None:
    scores = read_json(inputs / "metrics/scores.json")
    for entry in scores["test"].values():
        for key in ("tuned", "base", "difference", "shown"):
            entry.pop(key, None)
        entry |= {"value": None, "not_scored": "no log-probabilities of the reference (18)", "n": 0, "groups": 0}
    change(inputs / "metrics/scores.json", test=scores["test"])
    report.main(inputs)
    page = html(inputs)
    assert "Perplexity is not scored: no log-probabilities of the reference (18)." in page
    test = page[page.index("Test split") : page.index("Validation split")]
    assert test.count("not scored: no log-probabilities of the reference (18)") == len(scores["test"])
    assert 'class="value"' not in test
    assert "Not scored: no GEMINI_API_KEY." in page
    assert "Not scored: no GEMINI_API_KEY." in markdown(inputs)


def test_embedded_base_is_said_to_prove_the_machinery_only(walked: Path, inputs: Path) -> None:
    assert "a toy that parley trained itself" in html(walked)
    assert "a toy that parley trained itself" in markdown(walked)
    change(inputs / "metrics/base.json", kind="hub", name="owner/model", revision="0" * 40)
    report.main(inputs)
    assert "toy" not in html(inputs) + markdown(inputs)
    assert "0" * 40 in html(inputs)


def test_code_that_came_with_a_model_is_said_with_its_commit(inputs: Path) -> None:
    path = inputs / "params.yaml"
    path.write_text(path.read_text().replace("trust_remote_code: false", "trust_remote_code: true"))
    change(inputs / "metrics/base.json", revision="c0ffee")
    report.main(inputs)
    assert "ran here, from commit c0ffee: model.trust_remote_code" in markdown(inputs) and "c0ffee" in html(inputs)


def test_counts_and_drops_of_every_arrow_are_there(walked: Path) -> None:
    text = " ".join(Page(html(walked)).text.split())
    assert "ingest records of the raw files 1,200 1,150 50 30 × bot 20 × E001" in text
    assert "encode conversations of train and val; those of test are not trained on 76 75 1 1 × E018" in text
    assert "90 conversations came of what went out" in text
    assert "| ingest | 1,200 | 1,150 | 50 | 30 × bot, 20 × E001 |" in markdown(walked)


def test_the_data_is_described_with_columns_tables_and_places(walked: Path) -> None:
    page = html(walked)
    text = " ".join(Page(page).text.split())
    assert "Turns of a conversation" in text and "least 2, median 2, 95 % up to 2, most 2" in text
    assert "train and test111" in text  # the same words, and no group, in both, as this test laid them
    assert "data/rejects/ingest.jsonl:1" in page
    assert len(Page(page).named("rect")) >= 4


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


def test_markdown_holds_no_turn(walked: Path) -> None:
    text = markdown(walked)
    assert not re.search(r"answer \d|reference \d|first \d|mine|onerror", text)
    assert "| perplexity | nats/token |" in text and "| perplexity | ppl |" in text


def test_rerun_gives_the_same_bytes_and_no_date(inputs: Path) -> None:
    report.main(inputs)
    first = html(inputs), markdown(inputs)
    params = (inputs / "params.yaml").read_text()
    (inputs / "params.yaml").write_text(params.replace("save_steps: 200", "save_steps: 7"))
    report.main(inputs)
    assert (html(inputs), markdown(inputs)) == first
    assert not re.search(r"\b20\d\d-\d\d-\d\d|\d\d:\d\d", first[0] + first[1])


def test_ids_of_people_are_not_shown(walked: Path) -> None:
    assert "200000000000000001" in (walked / "params.yaml").read_text()
    assert "200000000000000001" not in html(walked) + markdown(walked)
    assert re.search(r"convert\.target</th><td>\(set; not shown\)", html(walked))
    assert re.search(r"convert\.exclude_authors</th><td>\[\]", html(walked))


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


def test_settings_that_differ_from_the_recipe_come_first_and_show_no_id(inputs: Path) -> None:
    report.main(inputs)
    assert changed_rows(html(inputs)) == ["convert.target (set; not shown) yours to set"]
    text = (inputs / "params.yaml").read_text()
    (inputs / "params.yaml").write_text(
        text.replace("lr: 0.005", "lr: 1e-05").replace("save_steps: 50", "save_steps: 7")
    )
    report.main(inputs)
    assert changed_rows(html(inputs))[0] == "train.lr 1e-05 0.005"
    assert "| train.lr | 1e-05 | 0.005 |" in markdown(inputs)
    (inputs / "params.yaml").write_text(text.replace("recipe: persona", "recipe: mine"))
    report.main(inputs)
    assert "is not in <code>recipes/</code> any more" in html(inputs)


def changed_rows(page: str) -> list[str]:
    table = page[page.index("Where this run differs from recipe") :].split("</table>")[0]
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", table)
    return [" ".join(Page(row.replace("<td>", " <td>")).text.split()) for row in rows]


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


def test_without_a_scorecard_the_page_has_no_part_for_it(inputs: Path) -> None:
    change(inputs / "metrics/scores.json", recipe={})
    report.main(inputs)
    assert "recipe's own numbers" not in html(inputs) + markdown(inputs)


def test_few_conversations_are_a_limit(walked: Path) -> None:
    assert "18 conversation groups: intervals are rough below 20" in html(walked)
    assert "18 conversation groups: intervals are rough below 20" in markdown(walked)


def test_no_samples_when_none_are_wanted(inputs: Path) -> None:
    params = (inputs / "params.yaml").read_text()
    (inputs / "params.yaml").write_text(params.replace("samples: 12", "samples: 0"))
    report.main(inputs)
    assert "Answers side by side" not in html(inputs)
    assert "tuned answer" not in html(inputs)


def test_metrics_file_without_what_is_needed_is_named(inputs: Path) -> None:
    write_json(inputs / "metrics/encode.json", {"in": 3, "out": 3})
    with pytest.raises(ParleyError, match=r"metrics/encode.json has no dropped: it was not made by this parley"):
        report.main(inputs)
    (inputs / "metrics/encode.json").unlink()
    with pytest.raises(ParleyError, match=r"metrics/encode.json is not there: run `dvc repro`"):
        report.main(inputs)


@pytest.mark.parametrize("name", ["scores", "judge"])
def test_figures_and_answers_of_two_runs_make_no_report(inputs: Path, name: str) -> None:
    answers = inputs / "data/eval/tuned.jsonl"
    change(inputs / f"metrics/{name}.json", made_of=read_json(inputs / "metrics/scores.json")["made_of"])
    report.main(inputs)
    before = html(inputs)
    answers.write_text(answers.read_text().replace("tuned answer 2", "another answer 2"))
    if name == "judge":
        score.main(inputs)  # now scores.json fits, and judge.json does not
    with pytest.raises(ParleyError, match=rf"metrics/{name}.json was made of another tuned.jsonl .* `make repro`"):
        report.main(inputs)
    assert html(inputs) == before
