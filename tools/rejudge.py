"""Says whether judge has to run again: it was not scored for lack of a key, and now there is one.

DVC can't see that a key has come, since keys are no input of a stage.     run   python -m tools.rejudge
"""

import json
import os
from pathlib import Path

from parley.judging.clients import find_key
from parley.params import read_yaml
from parley.plugins import plugin


def key_came(root: Path) -> bool:
    """True when metrics/judge.json says "no key" and the same client's key is there now."""
    try:
        result = json.loads((root / "metrics/judge.json").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    name = read_yaml(root / "params.yaml").get("judge", {}).get("client")
    if result.get("status") != "not_scored" or name in (None, "none"):
        return False
    client = plugin("judges", name, key="judge.client")
    home = Path(os.environ.get("DVC_ROOT") or root)
    return result.get("reason") in [f"no {key}" for key in client.KEYS[:1]] and find_key(client.KEYS, home) is not None


if __name__ == "__main__":
    print("yes" if key_came(Path()) else "no")
