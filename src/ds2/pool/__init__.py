"""The pool: text comes in as rows of many formats, and goes out as examples in a fixed order."""

from ds2.pool.contamination import find_contaminated, find_duplicates
from ds2.pool.formats import FORMATS
from ds2.pool.layouts import HANDOFFS
from ds2.pool.pool import Example, Message, Pool, Reject, conversation_text, table_schema
from ds2.pool.publish import Card, card_text, push_to_hub
from ds2.pool.read import read_parts, read_pool
from ds2.pool.sources import is_place, keep_rows
from ds2.pool.tokens import count_tokens
from ds2.pool.write import Handoff, hand_off, write_pool

__all__ = [
    "FORMATS",
    "HANDOFFS",
    "Card",
    "Example",
    "Handoff",
    "Message",
    "Pool",
    "Reject",
    "card_text",
    "conversation_text",
    "count_tokens",
    "find_contaminated",
    "find_duplicates",
    "hand_off",
    "is_place",
    "keep_rows",
    "push_to_hub",
    "read_parts",
    "read_pool",
    "table_schema",
    "write_pool",
]
