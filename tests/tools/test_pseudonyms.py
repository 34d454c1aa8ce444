"""The list of who is who: the pseudonyms of the conversations, only when asked for, and out of git's sight."""

import subprocess
from pathlib import Path

from test_convert import ANA, BEN, CAT, TALK, made, said, workspace

from parley.files import read_json
from stages import convert
from tools.pseudonyms import PLACE, write_pseudonyms


def test_the_list_has_the_pseudonyms_of_the_conversations_but_not_who_opted_out(tmp_path: Path) -> None:
    workspace(tmp_path, [*TALK, said(3, CAT, "hm")], convert__exclude_authors=[CAT])
    convert.main(tmp_path)
    assert not (tmp_path / PLACE).exists()
    assert write_pseudonyms(tmp_path) == 2
    found = read_json(tmp_path / PLACE)
    assert found[ANA] == {"pseudonym": "Robin", "names": ["Ana Ruiz", "ana"]} and CAT not in found
    assert found[BEN]["pseudonym"] == made(tmp_path)[0].author


def test_git_ignores_the_list() -> None:
    root = Path(convert.__file__).parent.parent
    assert subprocess.run(["git", "check-ignore", "-q", str(PLACE)], cwd=root, check=False).returncode == 0
