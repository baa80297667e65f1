"""Runs: a folder with a recipe, the stages that it describes, and what they left behind."""

from ds2.runs.init import init_run
from ds2.runs.listener import Listener
from ds2.runs.loop import RunResult, RunStatus, StageOutcome, run, status
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import load_recipe, parse_overrides

__all__ = [
    "Listener",
    "Recipe",
    "RunResult",
    "RunStatus",
    "StageOutcome",
    "init_run",
    "load_recipe",
    "parse_overrides",
    "run",
    "status",
]
