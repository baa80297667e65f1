"""A pool and an embedder that are only what `embed` needs, and remember what was asked of them."""

from hashlib import blake2b

import numpy as np


class TextsOnly:
    """A pool of given texts."""

    def __init__(self, texts, **columns):
        self.all_texts = list(texts)
        self.columns = columns
        self.asked = []

    def __len__(self):
        return len(self.all_texts)

    def texts(self, start=0, stop=None):
        self.asked.append((start, stop))
        return self.all_texts[start:stop]

    def column(self, name):
        return self.columns[name]


class HashEmbedder:
    """A direction per text, drawn from its hash; `calls` holds every batch that was embedded."""

    def __init__(
        self, name="hash:1", dimension=8, *, languages=None, max_tokens=None, fail_after=None
    ):
        self.name = name
        self.dimension = dimension
        self.languages = languages
        self.max_tokens = max_tokens
        self.fail_after = fail_after
        self.calls = []

    def embed(self, texts):
        if self.fail_after is not None and len(self.calls) == self.fail_after:
            raise KeyboardInterrupt
        self.calls.append(list(texts))
        return np.array([hash_vector(text, self.dimension) for text in texts], dtype=np.float32)

    def count_tokens(self, texts):
        return np.array([len(text.split()) for text in texts], dtype=np.int64)

    @property
    def seen(self):
        return [text for call in self.calls for text in call]


def hash_vector(text, dimension=8):
    seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
    vector = np.random.default_rng(seed).normal(size=dimension)
    return vector / np.linalg.norm(vector)
