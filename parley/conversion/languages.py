"""Which language a text is in, told offline by py3langid (https://github.com/adbar/py3langid, 2026)."""

from functools import cache
from typing import Any

ENOUGH = 20  # letters; "haha ok" is every language
TELLING = 5  # letters that one of Thai, Korean, Japanese or Chinese is worth: few languages share its script
SURE = 0.6  # probability; slang and mixed talk stay below
READ = 2_000  # characters of a text that are looked at


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """The code of a text's language, such as en; "" for one too short or too mixed to tell."""
    text = text[:READ]
    if sum(TELLING if char >= "\u0e00" else 1 for char in text if char.isalpha()) < ENOUGH:
        return ""
    language, probability = _identifier().classify(text)
    return str(language) if probability >= SURE else ""


def known_languages() -> list[str]:
    """The codes of all languages that `language_of` can tell, ISO 639-1 where there is one."""
    return sorted(map(str, _identifier().labels))
