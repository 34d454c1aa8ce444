"""make push REPO=name/model [FOLDER=models/merged] [PUBLIC=1]: a model folder and its card to the Hugging Face Hub.

Private unless PUBLIC=1 is said; a repository that is public already is refused without it. Nothing but this command
uploads anything. HF_TOKEN (or `hf auth login`) says who you are; HF_ENDPOINT names another hub.
"""

import argparse
import os
import tempfile
from pathlib import Path

from parley.errors import ParleyError
from parley.files import link_tree
from parley.training.card import FILE
from tools import told
from tools.scored_card import scored_card

NEEDED = ("README.md", "config.json")
LEFT = [".*", "optimizer.pt", "epochs/*"]


def push(folder: Path, repo: str, *, public: bool) -> str:
    """Uploads the folder as one commit; returns its page. Raises ParleyError before anything is sent where it can."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise ParleyError(f"{folder} has no {' and no '.join(missing)}: `make repro` makes models/merged with both")
    card = scored_card(Path(), folder)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import httpx
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not get_token():
        raise ParleyError("no HF_TOKEN: make one with the right to write at https://huggingface.co/settings/tokens")
    api = HfApi()
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        if not public and not api.model_info(repo).private:
            raise ParleyError(f"{repo} is public: say PUBLIC=1 if everybody may have this model, or take another REPO")
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            link_tree(folder, Path(place), leave=[FILE])
            (Path(place) / FILE).write_text(card, encoding="utf-8")
            return str(api.upload_folder(repo_id=repo, folder_path=place, ignore_patterns=LEFT).commit_url)
    except HFValidationError:
        raise ParleyError(f"REPO={repo!r}: expected your-name/model-name") from None
    except HfHubHTTPError as error:
        code = error.response.status_code
        why = "HF_TOKEN may not write there" if code in (401, 403) else f"the Hub answered {code}"
        raise ParleyError(f"{repo}: {why}: check the name and the token's rights, or try again later") from None
    except (httpx.HTTPError, OSError):
        raise ParleyError(
            f"{repo}: the Hub could not be reached: nothing is lost, run it again with a network"
        ) from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="make push")
    parser.add_argument("repo")
    parser.add_argument("--folder", type=Path, default=Path("models/merged"))
    parser.add_argument("--public", action="store_true")
    given = parser.parse_args()
    with told("push"):
        if "/" not in given.repo:
            raise ParleyError("REPO= is missing or has no owner: make push REPO=your-name/model-name")
        print(f"push: {push(given.folder, given.repo, public=given.public)}")


if __name__ == "__main__":
    main()
