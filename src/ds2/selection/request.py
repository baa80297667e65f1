"""What a call of `select` asks for: its arguments checked, its rows cut down."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.checks import check_fraction, check_int, check_scores, check_vectors
from ds2.errors import InputError
from ds2.keys import check_keys, random_order_keys
from ds2.neighbors import Neighbors, find_neighbors
from ds2.selection.columns import (
    check_finite,
    check_prior,
    check_targets,
    check_threshold,
    common_length,
    source_labels,
)
from ds2.selection.constraints import Constraints
from ds2.selection.eligible import (
    check_size,
    duplicate_groups,
    eligible_rows,
    standing_places,
)
from ds2.selection.inputs import RATING, Inputs, Method
from ds2.selection.long_tail import long_tail_scores

__all__ = ["Request", "read_request"]

Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A checked call.

    Attributes:
        method: how to order.
        given: the arguments by name, None where not given; the graph and the long-tail scores are
            there where the method needs them.
        n: rows of the pool.
        count: how many are wanted; None where only a budget in tokens says so.
        seed: the caller's.
        keys: (n,) content keys.
        shuffle: (n,) random order keys.
        looked_at: (n,) the scores or values that the method goes by, if any.
        by_score: whether those are scores.
        columns: what else the method reads, checked.
        settings: dial, threshold and prior.
        labels: (n,) duplicates.
    """

    method: Method
    given: Given
    n: int
    count: int | None
    seed: int
    keys: np.ndarray
    shuffle: np.ndarray
    looked_at: np.ndarray | None
    by_score: bool
    columns: Given
    settings: Given
    labels: np.ndarray | None

    def eligible(self, constraints: Constraints) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The rows that may be ordered, in their random order, and the others by reason."""
        limit = self.settings["threshold"]
        best = self.looked_at if self.by_score else self.given["scores"]
        found = eligible_rows(
            self.n,
            self.count,
            constraints,
            excluded={} if self.looked_at is None else self.method.excludes(self.looked_at, limit),
            scores=best,
            lowest=self.given["scores"],
            allow_unrated=not self.by_score,
            groups=self.labels,
            vectors=self.given["vectors"],
            neighbors=self.given["neighbors"],
            keys=self.keys,
        )
        order = np.lexsort((self.keys[found.rows], self.shuffle[found.rows]))
        return found.rows[order], dict(found.dropped)

    def inputs(self, rows: np.ndarray) -> Inputs:
        """What the method may look at; vectors stay whole, they are read block by block."""
        whole = ("vectors", "targets")
        cut = {name: data if name in whole else data[rows] for name, data in self.columns.items()}
        if self.looked_at is not None:
            cut["scores" if self.by_score else "values"] = self.looked_at[rows]
        if "neighbors" in self.method.needs:
            cut["standing"] = standing_places(rows, self.labels, self.n)
        return Inputs(
            rows=rows,
            count=self.count or len(rows),
            seed=self.seed,
            shuffle=self.shuffle[rows],
            tie=self.keys[rows],
            neighbors=self.given["neighbors"],
            **self.settings,
            **cut,
        )


def read_request(
    method: Method,
    given: Given,
    *,
    name: str,
    stream: int,
    size: object,
    diversity: object,
    threshold: object,
    prior: np.ndarray | None,
    seed: object,
    constraints: Constraints | None,
) -> Request:
    """Check the arguments of `select`, and make the graph where it is needed and was not given.

    Raises:
        InputError: as `select` says.
    """
    given = _with_graph(method, given, seed)
    _check_needs(name, method, given)
    n = common_length({column: data for column, data in given.items() if column != "targets"})
    count = _size(size, n, constraints)
    keys = check_keys(given["keys"], n)
    number = check_int("seed", seed, low=0)
    looked_at, by_score = _looked_at(method, given, n)
    return Request(
        method=method,
        given=given,
        n=n,
        count=count,
        seed=number,
        keys=keys,
        shuffle=random_order_keys(keys, number, stream=stream),
        looked_at=looked_at,
        by_score=by_score,
        columns=_columns(method, given),
        settings={
            "diversity": check_fraction("diversity", diversity),
            "threshold": check_threshold(name, threshold),
            "prior": check_prior(prior),
        },
        labels=duplicate_groups(given["groups"], given["neighbors"], given["vectors"]),
    )


def _with_graph(method: Method, given: Given, seed: object) -> Given:
    """The arguments, with the graph and the long-tail scores where they are needed."""
    neighbors: Neighbors | None = given["neighbors"]
    tail = given["tail"]
    wants_tail = "tail" in method.needs and tail is None
    wanted = wants_tail or "neighbors" in method.needs
    if wanted and neighbors is None and given["vectors"] is not None:
        number = check_int("seed", seed, low=0)
        neighbors = find_neighbors(given["vectors"], groups=given["groups"], seed=number)
    if wants_tail and neighbors is not None:
        tail = long_tail_scores(neighbors)
    return {**given, "neighbors": neighbors, "tail": tail}


def _size(size: object, n: int, constraints: Constraints | None) -> int | None:
    """How many rows; None where only a budget in tokens says so."""
    if size is None and constraints is not None and constraints.max_tokens is not None:
        return None
    if size is None:
        raise InputError(
            "'size' must be a number of rows or a share in (0, 1). Got None, which needs a budget: "
            "'max_tokens'."
        )
    return check_size(size, n)


def _check_needs(name: str, method: Method, given: Given) -> None:
    """Raise `InputError` when the method lacks an input, naming it."""
    lacking = [
        need
        for need in method.needs
        if all(given[one] is None for one in (("raw", "scores") if need == RATING else (need,)))
    ]
    if lacking:
        wanted = " and ".join("'raw' or 'scores'" if n == RATING else f"'{n}'" for n in lacking)
        raise InputError(f"method '{name}' needs {wanted}. Pass {wanted} to select().")


def _looked_at(method: Method, given: Given, n: int) -> tuple[np.ndarray | None, bool]:
    """What the method goes by, checked, and whether that are scores; None for neither."""
    checked = {
        name: check_scores(name, given[name], n_rows=n)
        for name in ("scores", "raw", "values")
        if given[name] is not None
    }
    for need in method.needs:
        if need == RATING:
            return checked["raw" if "raw" in checked else "scores"], True
        if need in ("scores", "raw", "values"):
            return checked[need], need != "values"
    return None, False


def _columns(method: Method, given: Given) -> dict[str, Any]:
    """The inputs that are given, checked."""
    columns: dict[str, Any] = {
        name: check_finite(name, given[name])
        for name in ("tail", "lengths")
        if given[name] is not None
    }
    if "sources" in method.needs:
        columns["sources"] = source_labels(given["sources"])
    if "vectors" in method.needs:
        columns["vectors"] = check_vectors("vectors", given["vectors"])
    if "targets" in method.needs:
        columns["targets"] = check_targets(given["targets"], columns["vectors"].shape[1])
    return columns
