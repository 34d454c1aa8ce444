#!/bin/sh
# setup PYTHON LOCKFILE STAMP: a .venv with the locked packages, and the git and DVC state that DVC needs.
# Says what is missing and what to do instead of failing half way. An empty PYTHON is the one on PATH.
set -eu
python=${1:-$(command -v python3.11 || command -v python3 || echo python3)} lock=$2 stamp=$3

stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v "$python" >/dev/null || stop "no $python was found: install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$python is $("$python" -V 2>&1); parley needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 setup"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    printf 'setup: the lock was made and tested on Python 3.11, this is %s\n' "$("$python" -V 2>&1)" >&2
"$python" -c 'import ensurepip, venv' 2>/dev/null || stop "$python has no venv module: install it (Debian: python3-venv)"
command -v git >/dev/null || stop "git was not found: install it, DVC keeps its state beside it"
[ ! -L .venv ] || stop ".venv is a link to $(readlink .venv), which other folders may use: run \`make setup\` there, or remove the link"
[ -w . ] || stop "this folder belongs to someone else and cannot be written: copy it to a folder of your own"

# From a zip there is no .git, and without one DVC has no experiments.
if ! [ -e .git ]; then
    printf 'setup: no git repository here (a zip?): making one, with a first commit\n'
    git init -q
    git add -A
    git -c user.name=parley -c user.email=parley@localhost commit -q -m "parley, as unpacked"
fi
git rev-parse --git-dir >/dev/null 2>&1 ||
    stop "git refuses this folder: $(git rev-parse --git-dir 2>&1 | head -n 1). If it is yours: git config --global --add safe.directory \"$PWD\""

# Of two commands on a fresh checkout one installs and the other waits. macOS has no flock.
if command -v flock >/dev/null; then
    mkdir -p .dvc/tmp
    exec 9>.dvc/tmp/setup.lock
    flock -n 9 || { printf 'setup: another command is installing; waiting for it\n'; flock 9; }
    if [ -e "$stamp" ] && ! [ "$lock" -nt "$stamp" ]; then exit 0; fi
fi

printf 'setup: installing %s packages into .venv (once; again when %s changes)\n' "$(grep -c == "$lock")" "$lock"
# Without a stamp an install was cut off, and pip would take half a package for a whole one.
ls .venv/ready-* >/dev/null 2>&1 && .venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv
rm -f .venv/ready-*
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$lock" ||
    stop "pip could not install $lock (see above): check the network or your pip settings, then run the same command again"
.venv/bin/python -m pip check --disable-pip-version-check >/dev/null || .venv/bin/python -m pip check
touch "$stamp"
