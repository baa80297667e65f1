import tracemalloc

import numpy as np

from ds2.labels import each, encode


def test_labels_are_numbered_as_they_first_come():
    codes, names = encode(each(np.array(["b", "a", None, "b", 3, "a"], dtype=object)))
    assert codes.tolist() == [0, 1, 2, 0, 3, 1]
    assert names == ["b", "a", None, 3]
    assert encode(each(["x", "y", "x"]))[0].tolist() == [0, 1, 0]


def test_the_labels_of_many_rows_take_few_bytes():
    labels = np.array(["a source", "another one"])[np.arange(300_000) % 2]
    tracemalloc.start()
    codes, names = encode(each(labels))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert names == ["a source", "another one"]
    assert peak / len(codes) < 15  # a list of Python's own texts takes 70
