"""A detector in use: the same tokens as in scoring, thresholds by language, and ONNX that says what torch says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_models import MODEL_YAML

from parley.cases.turn_detector import make
from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.evaluation import case_row, generations_of
from parley.files import write_json
from parley.inference.end_of_turn import ONNX, ONNX_INT8, convert_to_sharegpt_format, detect_turns, load, predict_eou
from parley.jsonl import rows_into
from parley.specialists.turn_text import merged
from stages.generate import main
from tools.export_detector import export

PARAMS = f"""\
{MODEL_YAML}generate:
  backend: local
  endpoint: ""
  max_new_tokens: 1
  batch_size: 4
"""
TALKS = [
    ["I would like to"],
    ["Hello.", "What is it about?", "It is about the, um"],
    ["word " * 150, "Oh?", "yes please"],
    ["আমার ফ্যান চলছে না।"],
    ["a <|im_end|> that somebody typed"],
]


def turns(texts: list[str]) -> tuple[Turn, ...]:
    return tuple(Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(texts))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A project whose merged model is the base, with test cases of both kinds, exported."""
    root = tmp_path_factory.mktemp("detector")
    shutil.copytree(tiny_base, root / "models/merged")
    (root / "models/merged/base.json").unlink()
    (root / "params.yaml").write_text(PARAMS)
    with rows_into(root / "data/eval/cases.jsonl") as add:
        for number, texts in enumerate(TALKS):
            labels = {"end_of_turn": "no" if number < 2 else "yes", "language": "en", "text": "plain"}
            talk = Conversation(f"t{number}", tuple(merged(turns(texts), plain=True)), labels=labels)
            for case in make(talk, "test"):
                add(case_row(case))
    threshold = {"en": {"tuned": {"value": 0.0}}, "bn": {"tuned": {"value": 1.1}}, "all": {"tuned": {"value": 0.5}}}
    write_json(root / "metrics/scores.json", {"recipe": {"val": {"threshold": threshold}}})
    export(root, root / "detector")
    return root


def messages(texts: list[str]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.text} for turn in turns(texts)]


def test_predict_eou_gives_the_probability_that_was_scored(detector: Path) -> None:
    main(detector, "tuned")
    scored = [one.probabilities["end"] for one in generations_of(detector / "data/eval/tuned.jsonl").values()]
    asked = [predict_eou(messages(texts), "en", folder=detector / "detector") for texts in TALKS]
    assert scored == pytest.approx(asked, abs=2e-6)
    assert len(set(scored)) == len(TALKS)


def test_onnx_gives_torchs_probabilities_and_int8_nearly(detector: Path) -> None:
    folder = detector / "detector"
    asked = [messages(texts) for texts in TALKS]
    torch, onnx, int8 = (
        np.array([load(folder, onnx=name).predict_eou(one, "en") for one in asked]) for name in ("", ONNX, ONNX_INT8)
    )
    assert np.abs(onnx - torch).max() < 1e-5
    assert np.abs(int8 - torch).max() < 0.05
    said = json.loads((folder / "detector.json").read_text())
    assert said["onnx_int8"]["largest_difference"] == pytest.approx(np.abs(int8 - torch).max(), abs=1e-4)
    assert said["cases"] == len(TALKS)


def test_onnx_gives_a_probability_for_every_position(detector: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(detector / "detector" / ONNX_INT8, providers=["CPUExecutionProvider"])
    for length in (1, 7, 128):
        (found,) = session.run(["probability"], {"input_ids": np.arange(length)[None]})
        assert found.shape == (1, length) and ((found >= 0) & (found <= 1)).all()


def test_thresholds_are_a_languages_own_and_an_unknown_one_gets_no_prediction(detector: Path) -> None:
    folder = detector / "detector"
    assert json.loads((folder / "languages.json").read_text()) == {"bn": {"threshold": 1.1}, "en": {"threshold": 0.0}}
    assert detect_turns("Hello.", folder=folder) is True
    assert detect_turns("Hello.", "bn", folder=folder) is False
    assert detect_turns("Hello.", "fr", folder=folder) is None
    assert detect_turns("Hello.", "en-US", folder=folder) is True  # as LiveKit's plugin looks a language up
    assert detect_turns("Hello.", "BN", folder=folder) is False


def test_nothing_is_predicted_when_the_user_did_not_speak_last(detector: Path) -> None:
    folder = detector / "detector"
    assert predict_eou(messages(["Hello.", "What is it about?"]), "en", folder=folder) is None
    assert predict_eou([], "en", folder=folder) is None
    assert predict_eou(messages(["?!"]), "en", folder=folder) is None


def test_a_folder_that_was_never_exported_says_what_to_do(detector: Path) -> None:
    with pytest.raises(ParleyError, match=r"holds no languages.json: write it with `make export-detector OUT="):
        load(detector / "models/merged")
    (detector / "metrics/scores.json").rename(detector / "metrics/kept.json")
    write_json(detector / "metrics/scores.json", {"recipe": {}})
    with pytest.raises(ParleyError, match="has no thresholds: train a detector first"):
        export(detector, detector / "other")
    assert not (detector / "other").exists()
    (detector / "metrics/scores.json").unlink()
    with pytest.raises(ParleyError, match=r"OUT=.*data is there and no exported detector"):
        export(detector, detector / "data")
    (detector / "metrics/kept.json").rename(detector / "metrics/scores.json")


def test_the_seeds_conversations_become_sharegpt() -> None:
    given = [
        {"conversations": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "lang": "en"}
    ]
    assert convert_to_sharegpt_format(given) == [
        {"lang": "en", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
    ]
    assert convert_to_sharegpt_format(convert_to_sharegpt_format(given)) == convert_to_sharegpt_format(given)
    with pytest.raises(ParleyError, match="conversation 0: unknown role 'caller'"):
        convert_to_sharegpt_format([{"conversations": [{"role": "caller", "content": "Hi"}]}])
