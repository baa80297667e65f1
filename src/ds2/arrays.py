"""Array types with the names of their axes, and the few letters they use.

n  examples of the pool, in pool order          k  neighbours of one example, nearest first
d  dimensions of an embedding                   s  score levels, 0 … s − 1 (K in the papers)
m  rows that were selected, in pick order
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

#: One score per example; NaN where unrated. May be ints or floats.
Scores = Shaped[np.ndarray, " n"]
#: One real number per example.
Values = Float[np.ndarray, " n"]
#: One length per example, in whatever unit; ints or floats.
Lengths = Shaped[np.ndarray, " n"]
#: Unit rows, one embedding per example.
Vectors = Float[np.ndarray, "n d"]
#: Row numbers of the neighbours, nearest first.
NeighborIndices = Integer[np.ndarray, "n k"]
#: Cosine distances in [0, 2], ascending.
NeighborDistances = Float[np.ndarray, "n k"]
#: One label per example: rows with equal labels are exact duplicates.
Groups = Integer[np.ndarray, " n"]
#: T[i, j] = P(observed = j given true = i); rows sum to 1.
Transition = Float[np.ndarray, "s s"]
#: Lower and upper ends, stacked first.
TransitionBounds = Float[np.ndarray, "2 s s"]
#: p[i] = P(true = i).
Prior = Float[np.ndarray, " s"]
#: Lower and upper ends, stacked first.
PriorBounds = Float[np.ndarray, "2 s"]
#: Joint frequency of an example's score and those of two neighbours.
Consensus = Float[np.ndarray, "s s s"]
#: A yes or no per example.
Mask = Bool[np.ndarray, " n"]
#: Row numbers, in pick order.
Rows = Integer[np.ndarray, " m"]
#: One unsigned content hash per example (any integers work).
Keys = Integer[np.ndarray, " n"]
#: (n, f) sparse rows (scipy CSR): figures of the texts, then `N_WORDS` columns of word counts.
Features = Any
#: Columns of hashed words at the end of `Features`.
N_WORDS = 2**15
