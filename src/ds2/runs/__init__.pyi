from .ask import GoldAdded, GoldSheets, add_gold, write_gold_sheets
from .between import plan_run_between
from .compare import Compared, compare_run
from .folder import lock_holder, locked, read_manifest
from .frozen import load, save
from .init import init_run
from .job import Job, Listener, Made
from .loop import RunOutcome, opened, run, status
from .rate import collect_batches, prompt_of, write_batches
from .recipe import Recipe
from .recipe_file import load_recipe, make_recipe, parse_overrides, render_recipe
from .rerate import Rerated, plan_run_rerating

__all__ = [
    "Compared",
    "GoldAdded",
    "GoldSheets",
    "Job",
    "Listener",
    "Made",
    "Recipe",
    "Rerated",
    "RunOutcome",
    "add_gold",
    "collect_batches",
    "compare_run",
    "init_run",
    "load",
    "load_recipe",
    "lock_holder",
    "locked",
    "make_recipe",
    "opened",
    "parse_overrides",
    "plan_run_between",
    "plan_run_rerating",
    "prompt_of",
    "read_manifest",
    "render_recipe",
    "run",
    "save",
    "status",
    "write_batches",
    "write_gold_sheets",
]
