"""The stages of the pipeline, one script each."""

import sys
from types import TracebackType


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C before a stage's own handler stands, as while it imports, is no error to show the frames of."""
    if issubclass(kind, KeyboardInterrupt):
        print("\nstopped; the next run goes on", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _told
