"""What the report says of a run; how it looks is in test_report_page.py."""

import re
from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.files import read_json, write_json
from stages import report, score
from tests.reported import Page, change, html, lay, markdown, score_of


def test_headline_says_by_how_much_how_sure_and_on_how_many(walked: Path) -> None:
    found = score_of(walked, "perplexity")
    assert found["difference"]["high"] < 0
    sentence = re.search(r'<p class="lead">(.*?)</p>', html(walked))
    assert sentence and "on 18 test cases from 18 conversation groups" in sentence[1]
    assert re.search(r"\d times lower \(95 % interval: \d\S* to \d\S* times lower\)", sentence[1])
    assert "<h1>Better than its base</h1>" in html(walked)
    assert markdown(walked).startswith("# Better than its base: persona on parley-tiny\n")


@pytest.mark.parametrize(
    ("better", "cases", "title"),
    [
        (-2.0, 24, "Worse than its base"),
        (-0.2, 24, "No difference from its base shown"),
        (2.0, 2, "Not known whether it is better"),  # one conversation in the test split: no interval
    ],
)
def test_headline_is_as_honest_about_bad_news(tmp_path: Path, better: float, cases: int, title: str) -> None:
    lay(tmp_path, better=better, cases=cases)
    report.main(tmp_path)
    assert f"<h1>{title}</h1>" in html(tmp_path)
    assert "Better than its base" not in html(tmp_path) + markdown(tmp_path)


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


def test_few_conversations_are_a_limit(walked: Path) -> None:
    assert "18 conversation groups: intervals are rough below 20" in html(walked)
    assert "18 conversation groups: intervals are rough below 20" in markdown(walked)


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
