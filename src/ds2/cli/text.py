"""Text from files is data: it may not move the cursor, colour the line or start a new one."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return ``text`` with everything that a terminal would not print as itself escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
