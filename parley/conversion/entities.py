"""People and places found by a model that the user has installed: Presidio (https://microsoft.github.io/presidio)
or a pipeline of spaCy (https://spacy.io/models). Neither is among parley's packages.

"then Zbigniew came from Gdynia" becomes "then <name> came from <place>".
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from parley.conversion.identifiers import Step
from parley.errors import ParleyError

Span = tuple[int, int, str]  # start, end, the model's label
INSTEAD = {
    **dict.fromkeys(("PERSON", "PER"), "<name>"),
    **dict.fromkeys(("LOCATION", "LOC", "GPE", "FAC"), "<place>"),
}


def entities(model: str, known: Iterable[str]) -> Step:
    """A step that replaces people and places, but for the pseudonyms `known` and what is replaced already.

    model: presidio, or the name of an installed spaCy pipeline. ParleyError if it is not there.
    """
    spans_of = _presidio() if model == "presidio" else _spacy(model)
    kept = {word for name in known for word in name.split()}

    def step(text: str) -> tuple[str, int]:
        pieces, end, found = [], 0, 0
        for start, stop, label in sorted(spans_of(text)):
            covered = text[start:stop]
            if start < end or label not in INSTEAD or "<" in covered or kept & set(covered.split()):
                continue
            pieces += [text[end:start], INSTEAD[label]]
            end, found = stop, found + 1
        return "".join([*pieces, text[end:]]), found

    return step


def _presidio() -> Callable[[str], Iterator[Span]]:
    try:
        from presidio_analyzer import AnalyzerEngine

        engine = AnalyzerEngine()
    except (ImportError, OSError, SystemExit) as error:  # it leaves the program when it can't fetch its model
        raise _missing("presidio", "pip install presidio-analyzer, and a spaCy model for it", error) from None
    wanted = ["PERSON", "LOCATION"]
    return lambda text: (
        (found.start, found.end, found.entity_type)
        for found in engine.analyze(text=text, language="en", entities=wanted)
    )


def _spacy(model: str) -> Callable[[str], Iterator[Span]]:
    try:
        import spacy

        pipeline: Any = spacy.load(model)
    except (ImportError, OSError) as error:
        hint = f"pip install spacy, and python -m spacy download {model}"
        raise _missing(model, hint, error) from None
    return lambda text: ((found.start_char, found.end_char, found.label_) for found in pipeline(text).ents)


def _missing(model: str, hint: str, error: BaseException) -> ParleyError:
    return ParleyError(
        f"params.yaml: redact.model: {model!r} is not installed ({type(error).__name__}): {hint}; or set it to ''"
    )
