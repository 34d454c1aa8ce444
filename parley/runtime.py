"""Section `runtime` of params.yaml: what changes no output, so that DVC does not track it."""

from pydantic import Field

from parley.params import Section


class Runtime(Section):
    """Section `runtime`."""

    workers: int = Field(ge=1, le=64)
    save_steps: int = Field(ge=0)
    logging_steps: int = Field(ge=1)
    report_to: list[str]
