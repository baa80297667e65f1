"""Tables that several parts of a page have, and those of whole sections."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ds2.curation import BiasRow, Skill
from ds2.curation.learners import LEARNERS
from ds2.curation.scorer import MORE
from ds2.measures import Interval
from ds2.report import charts
from ds2.report.model import Figure, Part, Table, facts, plain, table, written
from ds2.report.results import Chosen, Results
from ds2.report.words import decimal, excerpt, join, short

__all__ = ["against_pool", "goes_with", "rows_table", "scored_parts", "scored_sentence"]

MOST_SOURCES = 20
#: Rows of each kind that are shown, and characters of each text.
EACH, TEXT = 25, 150


def against_pool(
    key: str,
    title: str,
    labels: Sequence[str],
    codes: np.ndarray,
    rows: np.ndarray,
    *,
    order: Sequence[str] = (),
) -> Table:
    """How many examples of the pool and of the selection have each label; small ones together.

    ``codes`` are the numbers of the examples' labels; without an ``order`` the largest comes first.
    """
    pool, chosen = Counter[str](), Counter[str]()
    for counts, of in ((pool, codes), (chosen, codes[rows])):
        for name, count in zip(labels, np.bincount(of, minlength=len(labels)), strict=True):
            counts[name] += int(count)
    there = [name for name in pool if pool[name]]
    names = order or sorted(there, key=lambda name: (-pool[name], name))
    each = [(name, pool[name], chosen[name]) for name in names[:MOST_SOURCES]]
    rest = names[MOST_SOURCES:]
    if rest:
        here, inside = (sum(part[name] for name in rest) for part in (pool, chosen))
        each.append((f"({len(rest):,} smaller sources)", here, inside))
    n, m = max(len(codes), 1), max(len(rows), 1)
    lines = [(name, here, here / n, there, there / m) for name, here, there in each]
    heads = "group, pool, of the pool: share, selected, of the selection: share"
    return table(key, title, heads, lines, bars=(2, 4))


def goes_with(
    key: str, title: str, bias: Iterable[BiasRow], names: tuple[str, str], says: str = ""
) -> Table:
    """What two columns of scores, of these names, go with beside quality."""
    one, two = names
    return table(
        key,
        title,
        f"with, measure, {one}, {two}, {one} with the others fixed, {two} with the others fixed, "
        "examples",
        [
            (
                row.covariate,
                "Spearman" if row.measure == "spearman" else "eta",
                row.raw,
                row.curated,
                row.raw_partial.value,
                row.curated_partial.value,
                row.n,
            )
            for row in bias
        ],
        says=says,
    )


def rows_table(found: Chosen) -> Table:
    """Rows of every kind that a reader may want to judge; at most six times 25."""
    kinds = _kinds(found)
    stability = found.stability if isinstance(found, Results) else None
    stable = () if stability is None else stability.tolist()
    again = dict(zip(found.selection.rows.tolist(), stable, strict=bool(stable)))
    lengths, shown = found.pool.lengths, found.pool.take([row for _, rows in kinds for row in rows])
    place = zip(shown.ids, shown.sources, shown.texts(), strict=True)
    lines = [
        (
            short(ident, 40),
            kind,
            short(source or "", 30),
            *(values[row] for values in found.scores.values()),
            *((again.get(row),) if again else ()),
            int(lengths[row]),
            short(join(excerpt(text, TEXT)), TEXT + 40),
        )
        for kind, rows in kinds
        for row, (ident, source, text) in zip(rows, place, strict=False)
    ]
    known = "".join(f"{name}: score, " for name in found.scores)
    chosen = "selected again: share, " if again else ""
    return table(
        "rows",
        "Rows to look at",
        f"example, which, source, {known}{chosen}characters, text",
        lines,
        says=f"{_CHANGED if found.scores else _LAST}, and random rows of both sides.",
        sifted=True,
    )


_CHANGED = "The scores that changed most, the rows just inside and outside of the selection"
_LAST = "The rows that were selected last"


def _kinds(found: Chosen) -> list[tuple[str, list[int]]]:
    rows = found.selection.rows
    inside = np.zeros(len(found.pool), dtype=bool)
    inside[rows] = True
    outside = ~inside
    kinds: dict[str, list[int]] = {}
    if found.scores:
        raw, curated = found.scores["raw"], found.scores["curated"]
        outside &= np.isfinite(curated)
        change = np.nan_to_num(np.abs(curated - raw))
        most = np.lexsort((np.arange(len(raw)), -change))[:EACH]
        changed = most[change[most] != 0]
        kinds["changed, selected"] = changed[inside[changed]].tolist()
        kinds["changed, not selected"] = changed[~inside[changed]].tolist()
    kinds["at the cut, selected"] = rows[-EACH:].tolist()
    if found.scores:  # those that are nearest to the lowest score inside
        beyond = np.flatnonzero(outside)
        lowest = np.nanmin(curated[rows]) if np.isfinite(curated[rows]).any() else np.nan
        order = np.lexsort((-found.tail[beyond], np.abs(curated[beyond] - lowest)))
        kinds["at the cut, not selected"] = beyond[order][:EACH].tolist()
    rng = np.random.default_rng(0)

    def some(of: np.ndarray) -> list[int]:
        drawn = rng.choice(of, min(EACH, len(of)), replace=False)
        return [int(row) for row in np.sort(drawn)]

    kinds["random, selected"] = some(rows)
    kinds["random, not selected"] = some(np.flatnonzero(outside))
    return list(kinds.items())


def scored_sentence(found: Results) -> str:
    """What was rated, what was scored, and how far the scores go with ratings; may be empty."""
    scored, skill = found.curation.scored, found.curation.skill
    if scored is None or skill is None:
        return ""
    said = (
        f"{skill.n:,} rows were rated; a scorer learned from them scored the other "
        f"{int(scored.sum()):,}. With held-out ratings it agrees by "
        f"{_figure(skill.agreement)} (Spearman)"
    )
    if np.isfinite(skill.given.value):
        said += f", {_figure(skill.given)} among rows of like length and source"
    if np.isfinite(skill.more.value):
        said += f"; {MORE:,} more ratings would add about {decimal(skill.more.value)}"
    return f"{said}."


def scored_parts(found: Results) -> Iterator[Part]:
    """The parts of the report's section on it; none where no row was scored."""
    scored, skill = found.curation.scored, found.curation.skill
    if skill is None:
        return
    if scored is None:
        yield from skill.says()
    else:
        yield scored_sentence(found)
        yield (
            "All rows are ranked by their expected score, given all that is known of them. More is "
            "known of a rated row, so it is more often far up or far down."
        )
        basis = ("rated", "scored")
        title, codes = "In the pool and in the selection", scored.astype(int)
        yield against_pool("by basis", title, basis, codes, found.selection.rows, order=basis)
    yield _curve(skill)
    title = "What ratings and the scorer's predictions go with"
    yield goes_with("scorer goes with", title, skill.bias, ("ratings", "predictions"))
    weights = {f"{name} (weight)": w for name, w in zip(LEARNERS, skill.weights, strict=True)}
    yield facts("scorer", "The scorer", {"Ratings": skill.n, **weights})


def _curve(skill: Skill) -> Part:
    points = [(float(n), float(one.value)) for n, one in skill.curve]
    ends = [(n, one.low, one.high) for n, one in skill.curve]
    low = min([0.0, *(a for _, a, _ in ends)])
    chart = charts.line_chart(
        "Agreement with held-out ratings by how many were learned from",
        [
            ("line", points),
            ("outline", [(float(n), a) for n, a, _ in ends]),
            ("outline", [(float(n), b) for n, _, b in ends]),
        ],
        "ratings learned from",
        ends=(low, max(b for _, _, b in ends)),
    )
    return table(
        "learning curve",
        "What more ratings bring",
        "ratings learned from, Spearman with held-out ratings: fine",
        list(skill.curve),
        says=f"On the line through these, {MORE:,} more ratings would add {_figure(skill.more)}.",
        figure=Figure(chart, (("line", "agreement"), ("outline", "95 % interval"))),
    )


def _figure(one: Interval) -> str:
    return written(plain(one))
