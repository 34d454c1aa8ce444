"""Times as exports write them, in milliseconds since 1970, UTC."""

from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DISCORD_EPOCH = 1_420_070_400_000  # milliseconds; an id is the milliseconds since then, shifted by 22 bits


def milliseconds(stamp: object) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 time with any offset; None without an offset, or for something else."""
    try:
        since = datetime.fromisoformat(stamp) - EPOCH  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000  # twice as fast as a division


def snowflake_time(id: str) -> int | None:
    """The time at which Discord gave out an id; None for what is no such id."""
    since = int(id) >> 22 if id.isascii() and id.isdigit() and len(id) <= 20 else 0
    return since + DISCORD_EPOCH if since else None
