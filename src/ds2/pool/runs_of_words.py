"""An index of runs of words: which runs of some texts stand in others, and where they come from."""

import numpy as np

__all__ = ["RunIndex"]

#: Stands for a word that no indexed text has, and for the end of a text.
_NONE = -1
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2 ** 64


class RunIndex:
    """Runs of ``n`` words, and whole texts of ``shortest`` to n − 1 words.

    A run's hash is Σ h(word_j) · B^j modulo 2^64 from its first word on, taken from running sums
    for all runs of a batch at once. Runs with equal hashes are compared word by word.
    """

    def __init__(self, n: int, shortest: int) -> None:
        self._n = n
        self._shortest = shortest
        self._vocabulary: dict[str, int] = {}
        self._ids: list[int] = []
        self._starts: list[int] = []
        self._lengths: list[int] = []
        self._texts: list[tuple[int, int]] = []
        self._words: list[str] = []

    def add(self, words: list[str], place: tuple[int, int]) -> bool:
        """Add a text's words and where it stands; False if it is too short to look for."""
        if len(words) < self._shortest:
            return False
        known = self._vocabulary
        self._starts.append(len(self._ids))
        self._lengths.append(len(words))
        self._texts.append(place)
        self._ids.extend(known.setdefault(word, len(known)) for word in words)
        return True

    def finish(self) -> "RunIndex":
        """Sort the runs, once all texts are added."""
        self._words = list(self._vocabulary)
        self._all = np.array(self._ids, dtype=np.int64)
        self._ids.clear()
        rng = np.random.default_rng(0)
        self._hash = rng.integers(0, 2**64, max(1, len(self._words)), dtype=np.uint64)
        self._tables: dict[int, tuple[np.ndarray, int]] = {}
        starts, lengths = np.array(self._starts), np.array(self._lengths)
        begins, sizes, owners, count = [], [], [], 0
        for length in np.unique(np.minimum(lengths, self._n)).tolist():
            begin, hashes, run, owner = self._distinct(starts, lengths, length)
            self._tables[length] = (hashes, count)
            begins.append(begin)
            sizes.append(np.full(len(begin), length))
            owners.append(np.stack([run + count, owner]))
            count += len(begin)
        self._begin, self._size = np.concatenate(begins), np.concatenate(sizes)
        self._keep_first_owners(np.concatenate(owners, axis=1))
        return self

    def _keep_first_owners(self, pairs: np.ndarray) -> None:
        """Of the texts that hold a run, the first of each evaluation set."""
        of_set = np.array([number for number, _ in self._texts])[pairs[1]]
        order = np.lexsort((pairs[1], of_set, pairs[0]))
        run, text, of_set = pairs[0][order], pairs[1][order], of_set[order]
        first = np.ones(len(run), dtype=bool)
        first[1:] = (run[1:] != run[:-1]) | (of_set[1:] != of_set[:-1])
        self._owned, self._owner = run[first], text[first]

    def _runs(
        self, starts: np.ndarray, lengths: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each run of this length begins, and the text that it is of."""
        texts = np.flatnonzero(lengths >= length if length == self._n else lengths == length)
        counts = lengths[texts] - length + 1
        owner = np.repeat(texts, counts)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        return starts[owner] + offset, owner

    def _distinct(
        self, starts: np.ndarray, lengths: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The distinct runs of a length: where each begins and its hash, sorted by hash.

        Then, for every run with its repeats: its number among them, and the text it is of.
        """
        begin, owner = self._runs(starts, lengths, length)
        windows = np.lib.stride_tricks.sliding_window_view(self._all, length)
        hashes = _hashes(self._hash[self._all], length)[begin]
        order = np.lexsort((begin, hashes))
        begin, owner, hashes = begin[order], owner[order], hashes[order]
        first = np.ones(len(begin), dtype=bool)
        first[1:] = hashes[1:] != hashes[:-1]
        again = np.flatnonzero(~first)
        first[again] = (windows[begin[again]] != windows[begin[again - 1]]).any(axis=1)
        return begin[first], hashes[first], np.cumsum(first) - 1, owner

    def search(self, texts: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of a text's number and a run that stands in it."""
        known = self._vocabulary
        ids: list[int] = []
        owner: list[np.ndarray] = []
        for number, words in enumerate(texts):
            ids.extend(known.get(word, _NONE) for word in words)
            ids.append(_NONE)
            owner.append(np.full(len(words) + 1, number))
        array = np.array(ids, dtype=np.int64)
        of = np.concatenate([*owner, np.empty(0, np.int64)]).astype(np.int64)
        outside = np.concatenate([[0], np.cumsum(array == _NONE)])
        found = [
            self._search_length(length, array, outside)
            for length in self._tables
            if len(array) >= length
        ]
        begin = np.concatenate([*(part[0] for part in found), np.empty(0, np.int64)])
        run = np.concatenate([*(part[1] for part in found), np.empty(0, np.int64)])
        return of[begin.astype(np.int64)], run.astype(np.int64)

    def _search_length(
        self, length: int, ids: np.ndarray, outside: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        begin = np.flatnonzero(outside[length:] == outside[:-length])
        if len(begin) == 0:
            return begin, begin
        hashes = _hashes(self._hash[np.maximum(ids, 0)], length)[begin]
        table, base = self._tables[length]
        windows = np.lib.stride_tricks.sliding_window_view(ids, length)
        mine = np.lib.stride_tricks.sliding_window_view(self._all, length)
        hits, which = [], []
        at = np.searchsorted(table, hashes)
        while True:  # runs with one hash stand side by side: nearly always there is one
            near = np.flatnonzero(at < len(table))
            near = near[table[at[near]] == hashes[near]]
            if len(near) == 0:
                break
            run = base + at[near]
            same = (windows[begin[near]] == mine[self._begin[run]]).all(axis=1)
            hits.append(begin[near[same]])
            which.append(run[same])
            at[near] += 1
            begin, hashes, at = begin[near], hashes[near], at[near]
        empty = np.empty(0, np.int64)
        return np.concatenate([*hits, empty]), np.concatenate([*which, empty])

    def places(self, run: int) -> list[tuple[int, int]]:
        """Where a run comes from: the first place in each evaluation set that holds it."""
        start, stop = np.searchsorted(self._owned, [run, run + 1])
        return [self._texts[text] for text in self._owner[start:stop].tolist()]

    def words(self, run: int) -> list[str]:
        """The words of a run."""
        start, length = int(self._begin[run]), int(self._size[run])
        return [self._words[word] for word in self._all[start : start + length].tolist()]


def _hashes(values: np.ndarray, length: int) -> np.ndarray:
    """The hash of each run of ``length`` values, by where it begins."""
    count = len(values)
    powers = np.ones(count + 1, dtype=np.uint64)
    inverse = np.ones(count + 1, dtype=np.uint64)
    powers[1:] = _BASE
    inverse[1:] = pow(_BASE, -1, 2**64)
    powers, inverse = np.cumprod(powers), np.cumprod(inverse)
    sums = np.zeros(count + 1, dtype=np.uint64)
    np.cumsum(values * powers[:count], out=sums[1:])
    return (sums[length:] - sums[:-length]) * inverse[: count - length + 1]
