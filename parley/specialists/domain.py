"""Domains of agents, one YAML file each in parley/domains: how a row of one is known, and what holds in it.

    match: retail             # a word of the system prompt, in any case
    system: |                 # for the transform system_prompt; without it the row's own stays
      You help the customers of a shop.
    arguments:                # rules for arguments of these names, in every tool
      order_id: {prefix: "#"}            # put before a value that lacks it
      email: {pattern: "@"}              # a regular expression that a value must hold

Tools for rows that come without any stand beside it in NAME.json, a JSON list of schemas.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from parley.conversation import Conversation
from parley.errors import ParleyError
from parley.params import Section, read_yaml
from parley.plugins import plugin_file, plugin_names
from parley.specialists.schemas import tools_of

OTHER = "other"


class Rule(Section):
    """What holds for an argument's value, if it is text."""

    prefix: str = ""
    pattern: str = ""


class Domain(Section):
    """One file of parley/domains."""

    match: str = Field(min_length=1)
    tools: str = ""  # JSON
    system: str = ""
    arguments: dict[str, Rule] = Field(default_factory=dict)

    def fixed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with each prefix that was missing."""
        prefixes = {name: rule.prefix for name, rule in self.arguments.items()}
        return {
            name: f"{prefixes[name]}{value}"
            if isinstance(value, str) and prefixes.get(name) and not value.startswith(prefixes[name])
            else value
            for name, value in arguments.items()
        }

    def broken(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a value breaks its rule."""
        return any(
            isinstance(arguments.get(name), str) and not re.search(rule.pattern, arguments[name])
            for name, rule in self.arguments.items()
        )


NONE = Domain.model_construct(match="")  # where a row is of no domain


@functools.cache
def domains() -> dict[str, Domain]:
    """Name -> domain, for every file of parley/domains."""
    found = {}
    for name in plugin_names("domains", ".yaml"):
        path = plugin_file("domains", name, ".yaml", key="domains")
        try:
            beside = path.with_suffix(".json")
            tools = beside.read_text(encoding="utf-8") if beside.is_file() else ""
            tools_of(tools)
            found[name] = Domain.model_validate({**read_yaml(path), "tools": tools})
            for rule in found[name].arguments.values():
                re.compile(rule.pattern)
        except (ValueError, re.error) as error:
            raise ParleyError(f"{path}: {error}") from None
    return found


def domain_of(conversation: Conversation) -> str:
    """The domain that the row's label names, else the first whose word is in its system prompt; "other" for none."""
    given = conversation.labels.get("domain", "")
    if given in domains():
        return given
    system = conversation.system.casefold()
    return next((name for name, domain in domains().items() if domain.match.casefold() in system), given or OTHER)
