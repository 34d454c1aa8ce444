"""Models on the Hugging Face Hub: a name and a revision to files at one full commit, or an error that helps."""

import os
from pathlib import Path

from parley.errors import ParleyError

# What says what a model is and how it reads text; weights come at train time, by the pinned commit.
_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken"]
_LEFT = ["*.index.json", "*/*", "trainer_state.json", "training_info.json"]

_WAYS_OUT = (
    "Ways out: point HF_HOME at a cache that holds it, put a local folder into model.name, "
    "or take the embedded base with model.name: parley-tiny"
)


def snapshot(name: str, revision: str, *, local_only: bool = False) -> Path:
    """The local folder of a Hub model's config and tokenizer; the folder's name is the full commit.

    local_only: nothing is asked of the network. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are
    huggingface_hub's own. Raises ParleyError when the name or revision is unknown, the model is gated, or there is
    neither network nor cache.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        found = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=_FILES,
            ignore_patterns=_LEFT,
            local_files_only=local_only,
        )
    except HFValidationError:
        raise ParleyError(
            f"model.name: {name!r} is neither a folder here nor a Hub id such as "
            "TinyLlama/TinyLlama-1.1B-Chat-v1.0 nor parley-tiny"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise ParleyError(_explanation(name, revision, error)) from None
    return Path(found)


def _explanation(name: str, revision: str, error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    # Without a cached copy the client wraps what the server said, except for 401 and 404.
    cause = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else error
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    page = f"{constants.ENDPOINT}/{name}"
    if isinstance(cause, GatedRepoError) or status == 403:
        return (
            f"model.name: {name} is gated: accept its licence at {page}, then set HF_TOKEN to a token of that account"
        )
    if isinstance(cause, RevisionNotFoundError):
        return f"model.revision: {name} has no branch, tag or commit {revision!r}: see {page}/commits"
    if isinstance(cause, RepositoryNotFoundError) or status == 401:
        return (
            f"model.name: there is no {name!r} on the Hub, or it is private: check the spelling, "
            f"or set HF_TOKEN to a token that may read it ({page})"
        )
    if status is not None:
        return f"model.name: the Hub answered {status} for {name}: try again later. {_WAYS_OUT}"
    return f"model.name: {name} is not in the local cache, and the Hub could not be reached. {_WAYS_OUT}"
