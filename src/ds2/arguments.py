"""What a public function was given in place of what it takes, and the call that makes the latter.

`ds2.select` and the other functions that a user reaches as ``ds2.NAME`` are handed out `guarded`:
each argument is held against its annotation, and one that is missing or of another kind is an
`InputError` that names it and the call that makes it. What is right in kind goes to the function,
which checks shapes and values itself.
"""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from numbers import Number
from typing import Any

from ds2.errors import InputError

__all__ = ["got", "guarded", "made_by", "remedy"]

#: How an argument is made: by "function.name", by its name, or by the class that it must be.
_MADE_BY = {
    "run.scores": 'scores="score" (the name of a column; several: a list, one a rater)',
    "run.raters": 'raters=["gpt-4o-mini"] (names of models)',
    "run.gold": 'gold="gold.jsonl" (a file of trusted scores)',
    "run.size": "size=1_000 (rows) or size=0.1 (a share)",
    "measure_reliability.scores": "scores=panel.scores(), (n, r) with a column for each rater",
    "fit_raters.scores": "scores=panel.scores(), (n, r) with a column for each rater",
    "against_random.values": "values=ratings.scores()",
    "agreement.values": "values=curation.scores",
    "agreement_difference.values": "values=curation.scores",
    "remove_covariate.values": "values=curation.scores",
    "select.values": "values=ds2.measure_likelihoods(pool, model).perplexity, or your own numbers",
    "compare_arms.values": "values=arms.values, arms = ds2.read_arms(paths)",
    "compare_selections.n": "n=len(pool)",
    "compare_selections.values": 'values={"curated": curation.scores}',
    "find_near.targets": "targets=ds2.embed(wanted), of the pool that the rows are to be like",
    "import_ratings.column": 'column="score"',
    "simulate.n": "n=2_000 (rows)",
    "plan_gold.size": "size=200 (rows to ask a person for)",
    "embed.embedder": 'embedder=ds2.SentenceTransformerEmbedder("BAAI/bge-large-en-v1.5")',
    "Pool": 'pool=ds2.read_pool("pool.jsonl")',
    "TextPool": 'pool=ds2.read_pool("pool.jsonl"), or a list of texts',
    "TurnPool": 'pool=ds2.read_pool("pool.jsonl")',
    "Scorer": "scorer=ds2.fit_scorer(scores, vectors, features)",
    "features": "features=ds2.surface_features(pool)",
    "Ratings": 'ratings=ds2.import_ratings(pool, column="score")',
    "Neighbors": "neighbors=ds2.find_neighbors(ds2.embed(pool))",
    "TransitionEstimate": "noise=ds2.estimate_transition(scores, neighbors, n_scores=6)",
    "Constraints": "constraints=ds2.Constraints(max_tokens=…)",
    "PlanBetween": "plan=ds2.plan_gold_between(scores, pairs)",
    "Card": "card=ds2.Card(title, method, pool, pool_size)",
    "Rater": 'raters=ds2.ChatRater("gpt-4o-mini")',
    "Scale": 'scale="1-10" or scale=ds2.Scale.levels(6)',
    "scores": "scores=ratings.scores()",
    "raw": "raw=ratings.scores()",
    "curated": "curated=curation.scores",
    "gold": "gold=ds2.read_gold(pool, files, scale=ratings.scale).scores",
    "repeats": "repeats=ratings.repeat_scores()",
    "neighbors": "neighbors=ds2.find_neighbors(ds2.embed(pool))",
    "tail": "tail=ds2.long_tail_scores(neighbors)",
    "vectors": "vectors=ds2.embed(pool)",
    "groups": "groups=ds2.find_duplicates(pool)",
    "keys": "keys=pool.keys",
    "lengths": "lengths=ds2.count_tokens(pool)",
    "sources": "sources=pool.sources",
    "targets": "targets=ds2.embed(wanted), of the pool that the rows are to be like",
    "prior": "prior=noise.prior",
    "se": "se=curation.se",
    "rows": "rows=selection.rows",
    "order": "order=selection.rows",
    "n_scores": "n_scores=ratings.n_scores",
    "size": "size=1_000 (rows) or size=0.1 (a share)",
    "column": 'column="score"',
    "columns": 'columns=["score_a", "score_b"]',
    "covariates": 'covariates={"length": ds2.count_tokens(pool)}',
    "control": 'control={"length": ds2.count_tokens(pool)}',
    "covariate": "covariate=ds2.count_tokens(pool)",
    "evaluations": 'evaluations=["test.jsonl"] (files of evaluations)',
    "selections": 'selections={"ds2": selection.rows}',
    "baseline": "baseline=ratings.scores()",
    "ratings": "ratings=ratings.scores()",
    "model": 'model="Qwen/Qwen2.5-0.5B" (a name or a folder)',
    "budget": "budget=100 (ratings)",
    "files": 'files="gold.jsonl"',
    "store": 'store="ratings.sqlite"',
    "folder": 'folder="handoff"',
    "paths": 'paths=["one.jsonl"]',
    "repo": 'repo="org/name"',
    "n_items": "n_items=1_000",
    "n_seeds": "n_seeds=3",
    "item_sd": "item_sd=0.4",
    "run_sd": "run_sd=0.01",
    "tool": 'tool="trl"',
    "path": 'path="selected.jsonl"',
    "similarity": "similarity=0.95 (a cosine)",
    "noise_se": "noise_se=0.5 (levels)",
    "pairs": "pairs=[(one.rows, other.rows)]",
    "pool": 'pool="pool.jsonl", a DataFrame, a Dataset or a list of rows',
}
#: What to take of a result that was given whole: by the name of the argument or the class that it
#: must be, and the class of what was given.
_TAKE = {
    **{
        (name, kind): f"{name}={taken}"
        for name in ("scores", "raw", "values", "baseline", "expected", "curated", "ratings")
        for kind, taken in {
            "Ratings": "ratings.scores()",
            "Curation": "curation.scores",
            "Pool": 'ds2.import_ratings(pool, column="score").scores()',
        }.items()
    },
    ("gold", "GoldScores"): "gold=gold.scores, gold_weights=gold.weights",
    ("gold", "Ratings"): "gold=ratings.scores()",
    ("se", "Curation"): "se=curation.se",
    ("prior", "TransitionEstimate"): "prior=noise.prior",
    **{
        (name, kind): f"pool={made}"
        for name in ("Pool", "TextPool", "TurnPool")
        for kind, made in {
            "Selection": "pool.take(selection.rows)",
            "DataFrame": "ds2.read_pool(frame)",
            "Dataset": "ds2.read_pool(dataset)",
        }.items()
    },
    ("Pool", "list"): "pool=ds2.read_pool(rows)",
    ("TurnPool", "list"): "pool=ds2.read_pool(rows)",
    ("Neighbors", "ndarray"): "neighbors=ds2.find_neighbors(vectors)",
}

T = typing.TypeVar("T")


def made_by(function: str, name: str, kinds: Iterable[object] = (), value: object = None) -> str:
    """Return the call that makes an argument, as a user types it; "" where none is known.

    Args:
        function: the public function that takes it.
        name: the argument.
        kinds: what its annotation allows.
        value: what was given in its place.
    """
    classes = [getattr(kind, "__name__", "") for kind in kinds]
    keys = [f"{function}.{name}", name, *classes]
    given = [cls.__name__ for cls in type(value).__mro__]
    taken = [_TAKE[key, cls] for key in keys for cls in given if (key, cls) in _TAKE]
    made = [_MADE_BY[key] for key in (keys[0], *classes, name) if key in _MADE_BY]
    return next(iter([*taken, *made]), "")


def remedy(*names: str) -> str:
    """Return " Pass …." for arguments, to end a sentence with; "" where nothing is known.

    An argument may be told apart as "function.name".
    """
    made = [made_by(*name.partition("[")[0].rpartition(".")[::2]) for name in names]
    return f" Pass {', and '.join(filter(None, made))}." if any(made) else ""


def got(value: object) -> str:
    """Return what a value is, in a few words: never its contents where they are many."""
    if value is None or isinstance(value, (str, bytes, Number)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:59]}…"
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    if isinstance(shape, tuple) and shape:
        return f"{kind} of shape {shape}"
    if isinstance(value, Collection) and type(value).__module__ == "builtins":
        return f"{kind} of {len(value)}"
    return kind


@cache
def guarded(function: Callable[..., T]) -> Callable[..., T]:
    """Return a public function that names what it lacks, and what else it should have been given.

    Raises, in place of the function:
        InputError: an argument is missing, unknown or of another kind than its annotation says.
    """
    signature = inspect.signature(function)
    checked = {
        name: kinds
        for name, parameter in signature.parameters.items()
        if (kinds := _alternatives(parameter.annotation))
    }
    said = function.__name__

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> T:
        __tracebackhide__ = True  # for IPython and pytest: it is the user's call that is wrong
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            raise InputError(_unbound(said, signature, args, kwargs)) from None
        for name, value in bound.arguments.items():
            if name in checked and not any(_is_a(value, kind) for kind in checked[name]):
                raise InputError(_refused(said, name, checked[name], value))
        return function(*args, **kwargs)

    return call


def _unbound(
    function: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str:
    """Say which arguments are unknown, too many or missing."""
    parameters = signature.parameters
    for name in kwargs.keys() - parameters.keys():
        near = difflib.get_close_matches(name, parameters, n=1, cutoff=0.6)
        hint = f" Did you mean '{near[0]}'?" if near else f" It takes {', '.join(parameters)}."
        return f"{function}() has no argument '{name}'.{hint}"
    placed = [n for n, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(args) > len(placed):
        named = ", ".join(f"{name}=…" for name in parameters if name not in placed)
        rest = f"; give the rest by name ({named})" if named else ""
        return (
            f"{function}() takes {', '.join(placed) or 'nothing'} by place{rest}. Got {len(args)}."
        )
    given = {*placed[: len(args)], *kwargs}
    needed = [name for name, one in parameters.items() if one.default is one.empty]
    lacking = [name for name in needed if name not in given]
    if not lacking:
        twice = ", ".join(f"'{name}'" for name in placed[: len(args)] if name in kwargs)
        return f"{function}() was given {twice} twice, by place and by name."
    made = [made_by(function, name, _alternatives(parameters[name].annotation)) for name in lacking]
    names = " and ".join(f"'{name}'" for name in lacking)
    return f"{function}() needs {names}.{_pass(made)}"


def _refused(function: str, name: str, kinds: Sequence[object], value: object) -> str:
    said = list(dict.fromkeys(map(_kind_in_words, kinds)))
    wanted = " or ".join(said[-2:]) if len(said) < 3 else f"{', '.join(said[:-1])} or {said[-1]}"
    made = made_by(function, name, kinds, value)
    return f"{function}(): '{name}' must be {wanted}. Got {got(value)}.{_pass([made])}"


def _pass(made: Sequence[str]) -> str:
    known = [one for one in made if one]
    return f" Pass {', and '.join(known)}." if known else ""


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the kinds that an annotation allows; none where it allows anything."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        found = tuple(kind for one in typing.get_args(annotation) for kind in _alternatives(one))
        return () if any(_free(one) for one in typing.get_args(annotation)) else found
    return () if _free(annotation) else (annotation,)


def _free(annotation: Any) -> bool:
    """Whether there is nothing to hold a value against: numbers, say, are checked elsewhere."""
    kind = typing.get_origin(annotation) or annotation
    return kind in (Any, object, inspect.Parameter.empty, int, float, bool, Callable) or isinstance(
        kind, (str, typing.TypeVar)
    )


def _is_array(kind: Any) -> bool:
    return hasattr(kind, "array_type") or getattr(kind, "__name__", "") == "ndarray"


def _is_a(value: object, kind: Any) -> bool:
    if kind is type(None) or kind is None:
        return value is None
    if _is_array(kind):
        return _array_like(value)
    inside = typing.get_origin(kind) or kind
    if not isinstance(inside, type):
        return True
    if inside is not str and issubclass(inside, Sequence):
        kinds, first = _items_of(kind), next(iter(value), None) if _array_like(value) else value  # type: ignore[call-overload]
        listed = _array_like(value) and len(getattr(value, "shape", ())) < 2
        return listed and (first is None or not kinds or any(_is_a(first, one) for one in kinds))
    try:
        return isinstance(value, inside)
    except TypeError:  # a protocol with members that are no methods
        return True


def _array_like(value: object) -> bool:
    """Whether rows could be read from it: an array, a column, a frame, a list of numbers."""
    if isinstance(value, (str, bytes, Mapping, set)) or not hasattr(value, "__len__"):
        return False
    return not type(value).__module__.startswith("ds2.")


def _kind_in_words(kind: Any) -> str:
    if kind is type(None) or kind is None:
        return "None"
    if _is_array(kind):
        axes = str(getattr(kind, "dim_str", "")).split()
        if axes[1:] in (["..."], ["*r"]):
            return "an array of shape (n,) or (n, r)"
        shape = f" of shape ({', '.join(axes)}{',' if len(axes) == 1 else ''})" if axes else ""
        return f"an array{shape}"
    inside = typing.get_origin(kind) or kind
    if issubclass(inside, Mapping):
        return "a dict"
    if issubclass(inside, Sequence) and inside is not str:
        of = " or ".join(_WORDS.get(name, name) for name in map(_name, _items_of(kind)) if name)
        return f"a list of {of}" if of else "a list"
    name = _name(inside)
    named = _WORDS.get(name, name)
    return named if name == "str" else f"{'an' if named[0] in 'AEIO' else 'a'} {named}"


#: Names of classes that a user knows by other words.
_WORDS = {
    **{"str": "text", "PathLike": "path", "Path": "path"},
    **{"TextPool": "Pool", "TurnPool": "Pool"},
}


def _name(kind: Any) -> str:
    return getattr(typing.get_origin(kind) or kind, "__name__", "")


def _items_of(kind: Any) -> tuple[Any, ...]:
    """Return what a sequence of that annotation holds; none where it may be anything."""
    items = [one for one in typing.get_args(kind) if one is not Ellipsis]
    return _alternatives(items[0]) if items else ()
