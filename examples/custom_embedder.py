"""An embedder of your own: any object with six names will do.

    python examples/custom_embedder.py

This one counts groups of three letters, hashed to 512 places. It knows no language and needs no
model; it finds texts that are written alike.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np

import ds2


class TrigramEmbedder:
    """Counts of three-letter groups."""

    name = "trigrams-512-v1"  # change it with every change of the vectors: it is the cache's key
    dimension = 512
    max_tokens = None  # nothing is cut
    languages = None  # none declared

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit rows; row i depends on text i alone."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            padded = f"  {text.lower()} "
            for i in range(len(padded) - 2):
                row[crc32(padded[i : i + 3].encode()) % self.dimension] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Return each text's length: here a token is a character."""
        return np.array([len(text) for text in texts])


def main() -> None:
    words = ["a red house", "a red horse", "two red houses", "the sum of 2 and 3", "the sum of 4"]
    rows = [{"prompt": f"Translate: {word}", "response": word} for word in words]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        pool = ds2.read_pool(path)
    vectors = ds2.embed(pool, TrigramEmbedder())
    neighbors = ds2.find_neighbors(vectors, k=1)
    for row, near in enumerate(neighbors.indices[:, 0]):
        print(f"{words[row]!r} is nearest to {words[near]!r}", end=" ")
        print(f"(distance {neighbors.distances[row, 0]:.2f})")


if __name__ == "__main__":
    main()
