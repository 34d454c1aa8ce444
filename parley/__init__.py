"""parley: people's own conversations in, a fine-tuned and honestly scored chat model out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parley.errors import ParleyError
    from parley.inference.end_of_turn import convert_to_sharegpt_format, detect_turns, predict_eou
    from parley.judging.evaluator import GeminiModel, MultiTurnEvaluator, create_sample_test_data, validate_gemini_api
    from parley.library import (
        compare_triggered_responses,
        load_finetuned_model,
        load_lora_model,
        load_model,
        query_model,
        query_with_trigger,
        stream_model,
    )

__version__ = "0.1.0"

# What a program gets from `import parley` -> where it is. Loaded when first asked for: the stages never need it.
_PLACES = {
    "GeminiModel": "parley.judging.evaluator",
    "MultiTurnEvaluator": "parley.judging.evaluator",
    "ParleyError": "parley.errors",
    "compare_triggered_responses": "parley.library",
    "convert_to_sharegpt_format": "parley.inference.end_of_turn",
    "create_sample_test_data": "parley.judging.evaluator",
    "detect_turns": "parley.inference.end_of_turn",
    "load_finetuned_model": "parley.library",
    "load_lora_model": "parley.library",
    "load_model": "parley.library",
    "predict_eou": "parley.inference.end_of_turn",
    "query_model": "parley.library",
    "query_with_trigger": "parley.library",
    "stream_model": "parley.library",
    "validate_gemini_api": "parley.judging.evaluator",
}
__all__ = [
    "GeminiModel",
    "MultiTurnEvaluator",
    "ParleyError",
    "compare_triggered_responses",
    "convert_to_sharegpt_format",
    "create_sample_test_data",
    "detect_turns",
    "load_finetuned_model",
    "load_lora_model",
    "load_model",
    "predict_eou",
    "query_model",
    "query_with_trigger",
    "stream_model",
    "validate_gemini_api",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'parley' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
