"""What a comparison reads from a run folder, and how any method selects from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ds2.curation import Curation, curate
from ds2.errors import InputError
from ds2.noise import estimate_transition
from ds2.rating import GoldScores, Panel
from ds2.runs.gold import load_gold
from ds2.runs.job import Job
from ds2.runs.likelihoods import measured_values
from ds2.runs.materials import Materials, load_materials
from ds2.runs.naming import unheard
from ds2.runs.recipe_words import in_recipe_words
from ds2.runs.select_step import constraints_of
from ds2.runs.selecting_files import embed_targets, token_counts
from ds2.runs.stages import STAGES
from ds2.runs.steps import covariates_of, if_any, one_or_more
from ds2.selection import METHODS, Constraints, Selection, select

__all__ = ["Contest", "open_contest", "recipe_words"]

_SELECT = next(stage for stage in STAGES if stage.name == "select")


@dataclass(frozen=True, slots=True)
class Contest:
    """One pool, one budget, and all that a method may look at.

    Attributes:
        job: the folder and its recipe.
        materials: what selections are made of.
        constraints: what each of them must meet.
        panel: the ratings.
        gold: trusted scores, where there are any.
        tokens: (n,) what the tokenizer of the recipe counts.
        lacks: by the input that some methods need and the run does not have, why.
        note: what had to be done otherwise than the recipe says; may be empty.
    """

    job: Job
    materials: Materials
    constraints: Constraints | None
    panel: Panel
    gold: GoldScores | None
    tokens: np.ndarray
    lacks: dict[str, str]
    note: str = ""

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(self.materials.pool)

    @property
    def sources(self) -> np.ndarray:
        """(n,) Where every example comes from."""
        return np.array([source or "" for source in self.materials.pool.sources])

    def lacking(self, method: str, named: Sequence[str]) -> str | None:
        """Say why a method cannot take part, None where it can.

        Args:
            method: its name.
            named: the methods that the user asked for by name.
        """
        needs = METHODS[method].needs
        wanted = self.job.recipe.select
        for need in needs:
            if need in self.lacks:
                return self.lacks[need]
        if "sources" in needs and len(set(self.materials.pool.sources)) < 2:
            return "The pool names no two sources, so this is the same as random."
        if "values" in needs and wanted.values and method not in (*named, wanted.method):
            return (
                "The recipe does not say which method select.values belongs to: name the method, "
                f"for example with --methods {method}."
            )
        return None

    def select(self, method: str, *, seed: int | None = None) -> Selection:
        """Select the budget with one method.

        Raises:
            InputError: the method cannot select so many.
        """
        size = self.job.recipe.select.size
        arguments = self.materials.arguments(method)
        return unheard(
            select,
            method=method,
            size=None if size == "all" else size,
            constraints=self.constraints,
            **(arguments if seed is None else arguments | {"seed": seed}),
        )

    def without(self, rater: int | None) -> "Contest":
        """The same with noise and curation made anew, without gold and without one rater.

        A method of the recipe that cannot do without what was left out gives way to "auto".

        Args:
            rater: its number; None keeps all of them.
        """
        kept = Panel(tuple(one for number, one in enumerate(self.panel) if number != rater))
        recipe, materials = self.job.recipe, self.materials
        scores, repeated = one_or_more(kept.scores()), if_any(one_or_more(kept.repeats()))
        noise = unheard(
            estimate_transition,
            scores,
            materials.neighbors,
            n_scores=kept.n_scores,
            rho=recipe.noise.rho,
            n_neighbors=recipe.noise.n_neighbors,
            ordinal_prior=recipe.noise.ordinal_prior,
            n_bootstrap=0,
            repeats=repeated,
            seed=recipe.seed,
        )
        settings: dict[str, Any] = dict(recipe.curate.model_dump(exclude={"method", "control"}))
        settings |= {"expected": one_or_more(kept.finer()), "repeats": repeated}
        settings |= {"spread": if_any(one_or_more(kept.spread()))}
        settings |= {"keys": materials.pool.keys, "seed": recipe.seed}
        settings |= {"covariates": covariates_of(materials.pool)}
        settings |= {"control": covariates_of(materials.pool, recipe.curate.control)}

        def curated(method: str) -> Curation:
            return unheard(curate, scores, materials.neighbors, noise, method=method, **settings)

        method, note = recipe.curate.method, ""
        try:
            curation = curated(method)
        except InputError as error:
            if method == "auto":
                raise
            curation = curated("auto")
            note = (
                f"Without it, curate.method = {method} is not possible "
                f"({str(error).rstrip('.')}), so {curation.method} was taken."
            )
        new = replace(materials, curation=curation, prior=noise.prior)
        return replace(self, materials=new, note=note)


def recipe_words(error: InputError) -> str:
    """Put what `ds2.select` says in the words of the recipe."""
    return in_recipe_words(str(error), _SELECT)


def open_contest(job: Job, methods: Sequence[str]) -> Contest:
    """Read what the stages of a run left behind, and what else the methods need."""
    needs = {name: set(METHODS[name].needs) for name in methods}
    plain = {name for name in methods if not needs[name] & {"values", "targets"}}
    materials = load_materials(job, plain)
    asked = set().union(*needs.values())
    lacks = {}
    try:
        if "targets" in asked:
            if job.recipe.select.targets is None:
                raise InputError(
                    "It needs examples of what is wanted: set select.targets to a file of them."
                )
            materials = replace(materials, extra={"targets": embed_targets(job)})
    except InputError as error:
        lacks["targets"] = str(error)
    try:
        if "values" in asked and not materials.values:
            materials = replace(materials, values=measured_values(job, materials.pool))
    except InputError as error:
        lacks["values"] = recipe_words(error)
    panel = Panel.load(job.folder / "ratings.parquet")
    return Contest(
        job=job,
        materials=materials,
        constraints=constraints_of(job, materials),
        panel=panel,
        gold=load_gold(job, materials.pool, panel.ratings[0].scale),
        tokens=token_counts(job, materials.pool, job.recipe.select.tokenizer),
        lacks=lacks,
    )
