"""make eval MODEL=...: scores any model on the pipeline's own test cases, without training.

MODEL is a model folder, an adapter's folder, or a Hub id. The cases, the base's answers and the settings are
those of the last `make repro`; the answers, scores and report of MODEL lie in .evaluations/<name>/, so that the
pipeline's own outputs stay as they are.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from rich.console import Console

from parley.errors import ParleyError
from parley.files import read_json, write_json
from stages import generate, judge, report, score
from tools import summary, told

CARRIED = ["base", "ingest", "convert", "data", "encode", "merge"]  # metrics that do not depend on the model


def workspace(root: Path, model: str) -> Path:
    """A fresh folder with links to everything that scoring reads and that MODEL does not change."""
    if not (root / "data/eval/cases.jsonl").is_file() or not (root / "data/eval/base.jsonl").is_file():
        raise ParleyError("there are no test cases answered by the base yet: run `make repro` first")
    place = root / ".evaluations" / (re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.") or "model")
    shutil.rmtree(place, ignore_errors=True)
    links = ["params.yaml", "models/base", "data/eval/cases.jsonl", "data/eval/base.jsonl", "metrics/train_log.csv"]
    links += ["data/splits", "data/encoded", "data/rejects"]  # of which the report tells
    for name in [*links, *(f"metrics/{stage}.json" for stage in CARRIED)]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to((root / name).resolve())
    trained = read_json(root / "metrics/train.json")
    write_json(place / "metrics/train.json", {**trained, "evaluated": model})
    return place


def main() -> None:
    model = sys.argv[1]
    root = Path()
    with told("eval"):
        place = workspace(root, model)
        source = Path(model).resolve() if Path(model).is_dir() else model
        # The judge's key (.env) and kept answers are those of the pipeline.
        os.environ.setdefault("DVC_ROOT", str(root.resolve()))
        print(f"eval: {model} answers the test cases of data/eval/cases.jsonl")
        generate.answer(place, source, place / "data/eval/tuned.jsonl")
        for stage in (score, judge, report):
            stage.main(place)
        summary.main(place, Console())


if __name__ == "__main__":
    main()
