"""The stage "select": what a method needs, the constraints, the files that are left."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ds2.atomic import writing
from ds2.curation import Curation
from ds2.embedding import identify_languages
from ds2.errors import InputError
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate
from ds2.pool import Pool, count_tokens, find_contaminated, read_pool, write_pool
from ds2.pool.ids import id_value, match_ids
from ds2.pool.pool import take_rows
from ds2.pool.rows import Fault, read_file
from ds2.pool.wording import shown, shown_path
from ds2.pool.write import remove_parts, write_parts
from ds2.progress import part
from ds2.proof import measure_likelihoods
from ds2.proof.models import fingerprint
from ds2.report import in_words, of_selection
from ds2.runs.embedder import embed_like
from ds2.runs.frozen import load, load_vectors, observed_of, save, write_table
from ds2.runs.job import Job, Made
from ds2.runs.recipe import Quota as QuotaSetting
from ds2.runs.recipe import SelectSection
from ds2.runs.recipe_file import source_of
from ds2.runs.stages import PARTS
from ds2.runs.unrated import required
from ds2.selection import (
    Constraints,
    Curves,
    Quota,
    Selection,
    Stability,
    find_near,
    frontier_curve,
    long_tail_scores,
    rule_of,
    select,
    selection_stability,
    size_curve,
)

__all__ = [
    "Materials",
    "constraints_of",
    "load_materials",
    "rows_of_ids",
    "select_subset",
    "token_counts",
    "without_doubtful",
]


#: The methods that go by a likelihood.
LIKELIHOODS = ("perplexity", "ifd")
FILE = "likelihoods.npz"
#: Sizes that are looked at, in shares of the run's own.
SHARES = (0.25, 0.5, 1, 2, 4)
#: Rated rows up to which the frontier is drawn: what random rows cover is seen by looking at all.
DRAWN_UP_TO = 1_000_000


@dataclass(frozen=True, slots=True)
class Materials:
    """The artefacts that selections are made of."""

    pool: Pool  #: the examples
    curated: Curation | None  #: the curated scores; None in a run without scores
    neighbors: Neighbors  #: the graph
    vectors: np.ndarray  #: (n, d) embeddings, on disk
    tail: np.ndarray  #: (n,) long-tail scores
    prior: np.ndarray | None  #: (s,) shares of the levels; None in a run without scores
    wanted: SelectSection  #: what [select] of the recipe says
    seed: int  #: of the run
    #: (n,) the figure that a method goes by, by its name
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    #: (t, d) vectors of the examples that the selection should be like
    targets: np.ndarray | None = None
    #: by the input that some methods need and the run does not have, why
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> np.ndarray | None:
        """(n,) curated scores, where there are any."""
        return None if self.curated is None else self.curated.scores

    @property
    def observed(self) -> np.ndarray | None:
        """(n,) what one rater said, or the mean of several by rank, where there is any."""
        return None if self.curated is None else observed_of(self.curated)

    @property
    def doubtful(self) -> np.ndarray:
        """(n,) rows whose rating curation puts in the other half of the scale."""
        if self.curated is None or self.prior is None:
            return np.zeros(len(self.pool), dtype=bool)
        return self.curated.doubtful(len(self.prior))

    @property
    def sources(self) -> np.ndarray:
        """(n,) Where every example comes from."""
        names, codes = self.pool.coded_sources()
        labels: np.ndarray = np.array([name or "" for name in names], dtype=object)[codes]
        return labels

    @property
    def near(self) -> dict[str, Any]:
        """What coverage and redundancy are measured by."""
        graph = {"vectors": self.vectors, "neighbors": self.neighbors}
        return {**graph, "keys": self.pool.keys, "seed": self.seed}

    def lacking(self, method: str) -> str | None:
        """Say what a method needs that the run does not have; None where there is nothing."""
        rule = rule_of(method)
        if rule.uses and self.curated is None:
            return f"The method {method} goes by scores, and the run has none."
        return next((self.lacks[need] for need in rule.needs if need in self.lacks), None)

    def arguments(self, method: str) -> dict[str, Any]:
        """Return the keyword arguments of `ds2.select` for a method, but for its name and size.

        Raises:
            InputError: the run lacks what the method needs.
        """
        needs = rule_of(method).needs
        if lacks := self.lacking(method):
            raise InputError(lacks)
        return {
            **self.near,
            "scores": self.scores,
            "raw": self.observed,
            "tail": self.tail,
            "lengths": self.pool.lengths.astype(np.float64),
            "sources": self.sources,
            "groups": self.neighbors.groups,
            "diversity": self.wanted.diversity,
            "keep": self.wanted.keep,
            "threshold": self.wanted.threshold if method in ("deita", "alpagasus") else None,
            "values": self.values.get(method),
            "targets": self.targets if "targets" in needs else None,
        }

    def select(self, method: str, size: int | float | str | None = None, **other: Any) -> Selection:
        """Select with a method what the recipe says, or another size; ``other`` settings win.

        Raises:
            InputError: the run lacks what the method needs, or there are not so many rows.
        """
        size = self.wanted.size if size is None else size
        rows = None if isinstance(size, str) else size
        return select(method=method, size=rows, **(self.arguments(method) | other))


def select_subset(job: Job) -> Made:
    """Write selection.parquet, dropped.parquet and selected.jsonl, or selected/ in its place."""
    wanted = job.recipe.select
    material = load_materials(job, {wanted.method})
    limits = constraints_of(job, material)
    if job.recipe.curate.doubtful == "drop":
        limits = without_doubtful(limits, material)
    with part(0.0, 0.05):
        selection = material.select(wanted.method, constraints=limits)
    with part(0.05, 0.1):
        stability = _stability(job, material, selection)
    _write(job, material, selection, stability)
    with part(0.1, 1.0):
        save(job.folder, _curves(material, selection, limits))
    summary = {
        "method": selection.method,
        "n_selected": len(selection.rows),
        "dropped": dict(selection.dropped),
        "kept": None if stability is None else stability.kept,
    }
    if job.recipe.output.rows_per_file:
        summary["file"] = PARTS
    longer = in_words(
        of_selection(material.pool.lengths, selection.rows),
        control=job.recipe.curate.control,
        curated=rule_of(wanted.method).uses == "curated",
    )
    return Made(summary, longer)


def _stability(job: Job, material: Materials, selection: Selection) -> Stability | None:
    """How often each row is selected when the evidence is drawn again; None where not measured.

    Constraints are not made anew in each draw, so a constrained selection has none.
    """
    wanted = job.recipe.select
    simple = set(selection.dropped) <= {"unrated", "duplicate"}
    if not wanted.stability_rounds or wanted.method not in ("ds2", "top-score") or not simple:
        return None
    curation = required(material.curated)
    several = curation.observed.ndim == 2 and curation.se is None
    by_curation = wanted.method == "ds2"
    return selection_stability(
        curation.scores if by_curation else observed_of(curation),
        material.tail,
        size=len(selection.rows),
        method=wanted.method,
        raters=curation.observed if several and by_curation else None,
        se=curation.se if by_curation else None,
        neighbors=material.neighbors,
        keys=material.pool.keys,
        n_draws=wanted.stability_rounds,
        seed=job.recipe.seed,
    )


def _curves(material: Materials, selection: Selection, limits: Constraints | None) -> Curves:
    """What another size, or another trade of score against breadth, would bring."""
    own, n, scores = len(selection.rows), len(material.pool), material.scores
    sizes = {min(round(share * own), n) for share in SHARES} - {0, own}
    chosen, size_of = {own: selection.rows}, material.wanted.size
    if rule_of(selection.method).cost == "greedy":  # a larger one costs more
        sizes = {size for size in sizes if size < own}
    if rule_of(selection.method).cost == "greedy" and limits is None:
        chosen |= {size: selection.rows[:size] for size in sizes}
    elif size_of != "all":
        for size in sorted(sizes):
            with suppress(InputError):  # there are not so many
                more = material.select(selection.method, size, constraints=limits).rows
                chosen |= {size: more} if len(more) == size else {}
    by_dial = None
    if scores is not None and np.isfinite(scores).sum() <= DRAWN_UP_TO:
        with suppress(InputError):  # duplicates leave fewer rows than are selected
            named = {selection.method: selection.rows}
            with part(0.02, 0.8):
                by_dial = frontier_curve(
                    scores,
                    size=None if isinstance(size_of, str) else size_of,
                    selections=named,
                    constraints=limits,
                    **material.near,
                )
    se = None if material.curated is None else material.curated.se
    with part(0.8, 1.0):
        return Curves(size_curve(chosen, scores, se=se, **material.near), by_dial)


def _write(
    job: Job, material: Materials, selection: Selection, stability: Stability | None
) -> None:
    """Write the rows in pick order with their scores, and those that could not be selected."""
    rows, curated, pool = selection.rows, material.curated, material.pool
    scores = {
        "score": material.scores,
        "observed": material.observed,
        "confidence": None if curated is None else curated.confidence,
    }
    if curated is not None and curated.scored is not None:  # which were scored, and how well
        scores |= {"se": curated.se, "basis": np.where(curated.scored, "scored", "rated")}
    known = {name: None if of is None else of[rows] for name, of in scores.items()}
    ids = pool.table.select(["id"])
    columns = {
        "rank": np.arange(1, len(rows) + 1),
        "row": rows,
        "id": take_rows(ids, rows)["id"],
        **known,
        "stability": None if stability is None else stability.probability[rows],
        "long_tail": material.tail[rows],
    }
    save(job.folder, selection, columns)
    parts = [(why, np.asarray(part)) for why, part in selection.dropped_rows.items() if len(part)]
    left = np.concatenate([np.empty(0, np.int64), *(part for _, part in parts)])
    reasons = np.repeat([why for why, _ in parts], [len(part) for _, part in parts])
    dropped = {
        "row": left,
        "id": take_rows(ids, left)["id"],
        "reason": pa.array(reasons.tolist(), pa.string()),
    }
    write_table(job.folder / "dropped.parquet", dropped)
    of_each = {
        f"ds2_{name}": _scores(values) if values.dtype.kind == "f" else values.tolist()
        for name, values in known.items()
        if values is not None and name != "confidence"
    }
    of_each |= {"ds2_long_tail": material.tail[rows], "ds2_reason": selection.reasons}
    one, many = job.folder / "selected.jsonl", job.folder / PARTS
    form, size = job.recipe.output.format, job.recipe.output.rows_per_file
    remove_parts(many)
    if size:
        write_parts(pool, rows, many, size=size, format=form, columns=of_each)
        one.unlink(missing_ok=True)
    else:
        write_pool(pool.take(rows), one, format=form, columns=of_each)


def without_doubtful(asked: Constraints | None, material: Materials) -> Constraints:
    """The same, and no row whose rating curation puts in the other half of the scale."""
    limits = asked or Constraints()
    doubtful = material.doubtful
    if limits.must_have is not None:
        doubtful[limits.must_have] = False
    return replace(limits, blocked={**limits.blocked, "doubtful": np.flatnonzero(doubtful)})


def constraints_of(job: Job, material: Materials) -> Constraints | None:
    """Return what [select] asks of the selection beside the method; None where it asks nothing."""
    wanted, pool = job.recipe.select, material.pool
    if wanted.size == "all" and wanted.max_tokens is None:
        raise InputError(
            "'select.size' is \"all\", which means all that a budget allows: set "
            "'select.max_tokens', or give a number of rows or a fraction."
        )
    if wanted.decontaminate_similarity is not None and not wanted.decontaminate:
        raise InputError(
            "'select.decontaminate_similarity' looks for what is near to evaluation sets: name "
            "them in 'select.decontaminate', or leave it out."
        )
    found: dict[str, Any] = {
        "max_tokens": wanted.max_tokens,
        "near_duplicate": wanted.near_duplicate,
        "min_score": wanted.min_score,
    }
    if wanted.max_tokens is not None:
        found["tokens"] = token_counts(job, pool)
    if wanted.quotas:
        labels = {by: _labels(by, pool) for by in {quota.by for quota in wanted.quotas}}
        found["quotas"] = tuple(q for each in wanted.quotas for q in _quota(each, labels[each.by]))
    for key, path in (("must_have", wanted.must_have), ("must_not", wanted.must_not)):
        if path is not None:
            found[key] = rows_of_ids(pool, job.path(path))
    if wanted.decontaminate:
        found["blocked"] = _contaminated(job, material)
    asked = {key: value for key, value in found.items() if value is not None}
    return Constraints(**asked) if asked else None


def _quota(quota: QuotaSetting, labels: np.ndarray) -> Iterator[Quota]:
    """One quota, or two where one end is in rows and the other a share."""
    rows, shares = (
        [end if isinstance(end, kind) else None for end in (quota.min, quota.max)]
        for kind in (int, float)
    )
    for unit, (low, high) in (("rows", rows), ("share", shares)):
        if low is not None or high is not None:
            yield Quota(labels, quota.label, low, high, of=unit, name=quota.by)
    if quota.min is None and quota.max is None:
        raise InputError(
            f"The quota for {quota.by} '{quota.label}' in select.quotas has neither min nor max. "
            "Give one."
        )


def _labels(by: str, pool: Pool) -> np.ndarray:
    if by == "source":
        names, codes = pool.coded_sources()
        labels: np.ndarray = np.array(names, dtype=object)[codes]
        return labels
    values: Iterator[object]
    if by == "language":
        starts = range(0, len(pool), 1024)
        values = (one for i in starts for one in identify_languages(pool.texts(i, i + 1024)))
    else:
        values = pool.iter_column(by)
    held: dict[str, str] = {}  # each text once
    texts = (None if value is None else str(value) for value in values)
    once = (text if text is None else held.setdefault(text, text) for text in texts)
    return np.fromiter(once, dtype=object, count=len(pool))


def _scores(values: np.ndarray) -> list[Any]:
    """Return whole scores as ints (3, not 3.0), and what is missing as None."""
    return [
        None if np.isnan(value) else int(value) if value.is_integer() else value
        for value in values.tolist()
    ]


def token_counts(job: Job, pool: Pool) -> np.ndarray:
    """(n,) What every example costs, by the recipe's tokenizer."""
    return count_tokens(pool, job.named("select.tokenizer"))


def _contaminated(job: Job, material: Materials) -> dict[str, np.ndarray]:
    """Rows that share a long word sequence with an evaluation set, or are near it, by reason."""
    wanted = job.recipe.select
    paths = [job.path(path) for path in wanted.decontaminate]
    found = find_contaminated(material.pool, paths)
    for sentence in found.warnings:
        job.listener.said(sentence)
    reasons = dict(found.by_reason())
    if wanted.decontaminate_similarity is not None:
        for path in paths:
            vectors = embed_like(job, _texts_of(path))
            near = find_near(material.vectors, vectors, similarity=wanted.decontaminate_similarity)
            reasons[f"near to the evaluation set {shown_path(path.name)}"] = near.rows
    return reasons


def _texts_of(path: Path) -> list[str]:
    """One text for each row of an evaluation set: all of its texts, a line each."""
    texts = []
    for line, row in read_file(path, headless=True).rows:
        if isinstance(row, Fault):
            raise InputError(f"{shown_path(path)}, row {line:,}: {row.reason}. Correct it.")
        texts.append("\n".join(_strings(row)))
    return texts


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _strings(part)]


def load_materials(job: Job, methods: Collection[str]) -> Materials:
    """Load what the given methods need; what the run cannot give is in ``lacks``."""
    pool = job.pool
    neighbors = load(Neighbors, job.folder)
    needs = {need for method in methods for need in rule_of(method).needs}
    made: dict[str, Any] = {}
    lacks: dict[str, str] = {}
    for need, make in (("values", _values), ("targets", _targets)):
        if need in needs:
            try:
                made[need] = make(job, pool)
            except InputError as error:
                lacks[need] = str(error)
    return Materials(
        pool=pool,
        curated=load(Curation, job.folder) if job.recipe.rated else None,
        neighbors=neighbors,
        vectors=load_vectors(job.folder),
        tail=long_tail_scores(neighbors),
        prior=load(TransitionEstimate, job.folder).prior if job.recipe.rated else None,
        wanted=job.recipe.select,
        seed=job.recipe.seed,
        lacks=lacks,
        **made,
    )


def _targets(job: Job, _: Pool) -> np.ndarray:
    """(t, d) Vectors of the examples that the selection should be like."""
    path = job.recipe.select.targets
    if path is None:
        raise InputError(
            "The method rds needs 'select.targets', a file of examples that the selection should "
            "be like. Name it, or choose another method."
        )
    return embed_like(job, read_pool(source_of(job.folder, path)).texts())


def _numbers(pool: Pool, column: str) -> np.ndarray:
    """(n,) A column as numbers, NaN where it holds none."""
    found = np.full(len(pool), np.nan)
    for row, value in enumerate(pool.iter_column(column)):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[row] = value
    if np.isnan(found).all():
        raise InputError(f"The column '{column}' of the pool holds no number.")
    return found


def _values(job: Job, pool: Pool) -> dict[str, np.ndarray]:
    """What each method of `LIKELIHOODS` goes by: a column, or measured once and then kept."""
    if job.recipe.select.values is not None:
        return dict.fromkeys(LIKELIHOODS, _numbers(pool, job.recipe.select.values))
    if job.recipe.select.likelihood_model is None:
        raise InputError(
            "The methods perplexity and ifd need 'select.values', the column of the pool that "
            "holds the figure, or 'select.likelihood_model', a model that measures it. Name one, "
            "or choose another method."
        )
    path = job.folder / FILE  # of every conversation in its order, and the model with its files
    model = job.named("select.likelihood_model")
    about = json.dumps([hashlib.sha256(pool.keys.tobytes()).hexdigest(), fingerprint(model)])
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["about"]) == about:
                return {name: arrays[name] for name in LIKELIHOODS}
    found = measure_likelihoods(pool, model, progress=job.listener.progress)
    held = dict(zip(LIKELIHOODS, (found.perplexity, found.difficulty), strict=True))
    with writing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, about=np.str_(about), **held)
    return held


def rows_of_ids(pool: Pool, path: Path) -> np.ndarray:
    """Return the rows of the pool that a file lists, in its order, each once.

    Raises:
        InputError: the file cannot be read, lists nothing, or an id that the pool does not have.
    """
    name = shown_path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start}). Save it so.") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}.") from None
    as_json = path.suffix == ".jsonl"
    ids = [_id(line, place, name, as_json) for place, line in enumerate(lines, 1) if line.strip()]
    if not ids:
        raise InputError(f"{name} lists no id. Write one a line.")
    rows, _ = match_ids(pool.table["id"], ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise InputError(
            f"The pool does not have {len(missing):,} of the ids in {name}, the first is "
            f"{shown(ids[missing[0]])}. The pool's first is {shown(pool[0].id)}."
        )
    return np.array(list(dict.fromkeys(rows.tolist())), dtype=np.int64)


def _id(line: str, place: int, name: str, as_json: bool) -> str:
    if not as_json:
        return line.strip()
    try:
        row = json.loads(line)
    except ValueError:
        raise InputError(f"{name}, line {place:,}: no JSON. Mend the line.") from None
    if isinstance(row, dict) and type(row.get("id")) in (int, float):
        return id_value(str(row["id"]))
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise InputError(f"{name}, line {place:,}: no object with a text 'id'. Add it.")
    return str(row["id"])
