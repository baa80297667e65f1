"""The recipe: written complete, read back equal, and one sentence for every fault."""

from pathlib import Path

import pytest

from ds2.errors import InputError
from ds2.runs import Recipe, load_recipe, make_recipe, parse_overrides, render_recipe
from ds2.runs.recipe_file import choices_of, field_of, resolve_name, resolve_path
from ds2.runs.stages import STAGES, settings_of
from ds2.selection import METHODS

NASTY = 'a "quoted" \\ path\nwith\x7f [odd] # characters\u2028é'


def write(folder: Path, text: str) -> Path:
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder


def refusal(folder: Path, text: str, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(write(folder, text), parse_overrides(settings))
    return str(caught.value)


def test_a_rendered_recipe_reads_back_equal_and_names_every_key(tmp_path):
    recipe = make_recipe({"pool.path": NASTY, "scores.bins": [1.5, 2.5], "select.size": 500})
    text = render_recipe(recipe)
    assert load_recipe(write(tmp_path, text)) == recipe
    for key in recipe.flat():
        name = key.rpartition(".")[2]
        assert f"\n{name} = " in text or f"\n# {name} =" in text, key


def test_every_key_has_a_comment():
    for name, field in Recipe.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {name: field})
        for key, value in inner.items():
            assert value.description, f"{name}.{key}"


def test_every_setting_belongs_to_a_stage_or_cannot_change_its_artefacts():
    settings = {
        key: value
        for key, value in make_recipe({"pool.path": "p"}).flat().items()
        # what is done with a selection, and where work is done
        if not key.startswith(("train.", "evaluate.", "proof.", "engine."))
    }
    used = {stage.name: set(settings_of(stage, settings)) for stage in STAGES}
    assert set(settings) - used.pop("report") == {"schema_version"}
    whole = make_recipe({"pool.path": "p"}).flat()
    assert all(set(settings_of(stage, whole)) <= set(settings) for stage in STAGES)
    assert set(settings) - set().union(*used.values()) == {
        "schema_version",
        "scores.true_column",
        "scores.planted",
        "embed.batch_size",
        "embed.api_key_env",
        "compare.map",
        "compare.methods",
        "compare.n_draws",
        "report.title",
        "report.n_examples",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[pool]\npath='p'\n[select]\nsise=5", ["select.sise", "Did you mean 'select.size'?"]),
        ("[pool]\npath='p'\n[selct]\nsize=5", ["'selct'", "Did you mean 'select'?"]),
        ("size=5\n[pool]\npath='p'", ["'size'", "Did you mean 'select.size'?"]),
        ("[pool]\npath='p'\n[noise]\nzzz=5", ["noise.zzz", "Keys of [noise]: rho, n_neighbors"]),
        ("[pool]\nformat='alpaca'", ["'pool.path' is missing"]),
        ("seed=1", ["'pool' is missing"]),
        ("[zzz]\na=1\n[pool]\npath='p'", ["no key 'zzz'", "sections: schema_version, seed, pool"]),
        ("pool='p'", ["'pool' must be a section, written [pool]"]),
        (
            "[pool]\npath='p'\nformat='alpacca'",
            [
                "'pool.format': Input should be 'auto', 'alpaca'",
                "Got 'alpacca'",
                "Did you mean 'alpaca'?",
            ],
        ),
        ("[pool]\npath='p'\n[select]\nmethod='ds-2'", ["Did you mean 'ds2'?"]),
        (
            "[pool]\npath='p'\n[select]\nsize=0",
            ["'select.size': Input should be", "Got 0. It means: rows (10000)"],
        ),
        ("[pool]\npath='p'\n[curate]\nmethod='none'", ["'curate.method': 'none' is now 'raw'"]),
        (
            "[pool]\npath='p'\n[scores]\nscale='1-5'\n[raters.a]\nmodel='m'",
            ["'scores.scale' is about scores that the examples already have", "'rate.rubric'"],
        ),
        (
            "[pool]\npath='p'\n[scores]\nbins=[3.5, 4.5]\n[raters.a]\nmodel='m'",
            ["'scores.bins' is about scores"],
        ),
        (
            "[pool]\npath='p'\n[scores]\ncolumn='s'\n[rate]\nsample=50",
            ["'rate.sample' is about models that rate", "or name a model in [raters.NAME]"],
        ),
        ("[pool]\npath='p'\n[select]\nsize=1.5", ["a fraction of the pool (0.1)", "Got 1.5"]),
        (
            "[pool]\npath='p'\n[neighbors]\nk=0",
            ["'neighbors.k': Input should be greater than or equal to 2. Got 0"],
        ),
        ("[pool]\npath='p'\n[neighbors]\nk=-3", ["Got -3"]),
        (
            "[pool]\npath='p'\n[neighbors]\nk='ten'",
            ["'neighbors.k': Input should be a valid integer. Got 'ten'"],
        ),
        ("[pool]\npath='p'\n[neighbors]\nk=true", ["Input should be a valid integer. Got True"]),
        ("[pool]\npath=5", ["'pool.path': Input should be a valid string; or", "Got 5"]),
        ("[pool]\npath=''", ["'pool.path': String should have at least 1 character"]),
        (
            "[pool]\npath='p'\n[noise]\nn_neighbors='all'",
            ["Input should be 'auto'; or Input should be a valid integer"],
        ),
        (
            "[pool]\npath='p'\n[noise]\nrho=nan",
            ["'noise.rho': Input should be 'auto'; or", "Got nan"],
        ),
        ("[pool]\npath='p'\n[curate]\npaper_floor=1", ["Input should be a valid boolean. Got 1"]),
        ("[pool]\npath='p'\n[scores]\nbins=['a']", ["scores.bins", "Got 'a'"]),
        ("[pool\npath='p'", ["is not valid TOML", "line 1"]),
        ("schema_version=99\n[pool]\npath='p'", ["newer ds2", "Upgrade with"]),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_key(tmp_path, text, says):
    sentence = refusal(tmp_path, text)
    assert "recipe.toml" in sentence
    for part in says:
        assert part in sentence
    assert "pydantic" not in sentence
    assert "\n" not in sentence


def test_all_faults_are_named_at_once(tmp_path):
    sentence = refusal(tmp_path, "[pool]\npath='p'\n[neighbors]\nk=0\n[select]\nsize=0")
    assert "neighbors.k" in sentence
    assert "select.size" in sentence


def test_values_are_quoted_so_that_they_cannot_forge_a_line(tmp_path):
    sentence = refusal(tmp_path, '[pool]\npath="p"\nformat="x\\nerror: y\\u001b[31m"')
    assert "\n" not in sentence
    assert "\x1b" not in sentence


def test_what_a_recipe_can_choose_is_there_and_the_other_way_round():
    from ds2.runs.embedder import _MAKE
    from ds2.runs.rate import _KINDS

    for key, known in (
        ("select.method", METHODS),
        ("embed.embedder", _MAKE),
        ("raters.*.kind", _KINDS),
    ):
        assert set(choices_of(field_of(key).annotation)) == set(known)


def test_a_missing_recipe_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="ds2 init"):
        load_recipe(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, not a run folder"):
        load_recipe(tmp_path / "file")


def test_a_recipe_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "recipe.toml").write_bytes("[pool]\npath='é'".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("select.size=5000", 5000),
        ("select.size=0.25", 0.25),
        ("select.method = random", "random"),
        ("scores.column=2024", "2024"),
        ("scores.column=a=b", "a=b"),
        ("scores.column=", None),
        ("scores.bins=[1.5, 2]", [1.5, 2]),
        ("noise.n_neighbors=auto", "auto"),
        ("noise.n_neighbors=6", 6),
        ("curate.paper_floor=true", True),
        ("seed=7", 7),
        ("neighbors.k=ten", "ten"),
        ("neighbors.k=1\nseed=5", "1\nseed=5"),
        ("pool.path=hf:org/name", "hf:org/name"),
    ],
)
def test_overrides_are_typed_as_in_the_recipe(item, value):
    assert list(parse_overrides([item]).values()) == [value]


def test_overridden_paths_start_at_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_overrides(["pool.path=a.jsonl"]) == {"pool.path": str(tmp_path / "a.jsonl")}


def test_paths_in_the_recipe_start_at_its_folder(tmp_path):
    assert resolve_path(tmp_path / "run", "../a.jsonl") == tmp_path / "a.jsonl"
    assert resolve_path(tmp_path, "/data/a.jsonl") == Path("/data/a.jsonl")


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("select.size", "--set takes KEY=VALUE"),
        ("=5", "--set takes KEY=VALUE"),
        ("select.sise=5", "Did you mean 'select.size'?"),
        ("size=5", "Did you mean 'select.size'?"),
        ("select=5", "there is no key 'select'"),
        ("select.size.x=5", "there is no key"),
        ("select.size=0", "--set: 'select.size': Input should be"),
        ("neighbors.k=ten", "--set: 'neighbors.k': Input should be a valid integer. Got 'ten'"),
    ],
)
def test_a_faulty_override_is_named(tmp_path, item, says):
    assert says in refusal(tmp_path, "[pool]\npath='p'", item)


def test_an_override_wins_over_the_file(tmp_path):
    folder = write(tmp_path, "[pool]\npath='p'\n[select]\nsize=10")
    recipe = load_recipe(folder, parse_overrides(["select.size=20", "noise.rho=0.5"]))
    assert (recipe.select.size, recipe.noise.rho, recipe.pool.path) == (20, 0.5, "p")


def test_raters_are_tables_of_their_own(tmp_path):
    recipe = make_recipe(
        {"pool.path": "p", "raters.gpt-4.1.model": "gpt-4.1", "raters.x y.kind": "local"}
    )
    text = render_recipe(recipe)
    assert '[raters."gpt-4.1"]' in text
    assert '[raters."x y"]' in text
    assert load_recipe(write(tmp_path, text)) == recipe
    assert recipe.flat()["raters.gpt-4.1.model"] == "gpt-4.1"
    assert recipe.rated


def test_a_setting_of_one_rater_can_be_overridden(tmp_path):
    folder = write(tmp_path, "[pool]\npath='p'\n[raters.a.b]\nmodel='m'")
    sentence = refusal(folder, "[pool]\npath='p'\n[raters.a]\nmodel='m'\nmodle='x'")
    assert "Did you mean 'raters.a.model'?" in sentence
    folder = write(tmp_path, "[pool]\npath='p'\n[raters.a]\nmodel='m'")
    recipe = load_recipe(folder, parse_overrides(["raters.a.concurrency=3"]))
    assert recipe.raters["a"].concurrency == 3
    assert recipe.raters["a"].model == "m"


def test_what_cannot_change_a_reply_does_not_make_ratings_stale():
    rate = next(stage for stage in STAGES if stage.name == "rate")
    settings = make_recipe({"pool.path": "p", "raters.a.model": "m"}).flat()
    used = {key for key in settings_of(rate, settings) if key.startswith("raters.")}
    assert {"raters.a.model", "raters.a.form", "raters.a.temperature"} <= used
    assert not used & {"raters.a.concurrency", "raters.a.api_key_env", "raters.a.timeout_s"}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("[]", "should have at least 1 item"),
        ("['a', 'a']", "Each must be named once"),
        ("['a', 3]", "a list of columns where several raters gave scores"),
        ("''", "should have at least 1 character"),
    ],
)
def test_columns_of_scores(tmp_path, value, says):
    assert says in refusal(tmp_path, f"[pool]\npath='p'\n[scores]\ncolumn={value}")


@pytest.mark.parametrize("section", ["raters.b", "embed"])
def test_an_address_with_a_secret_is_refused_unshown(tmp_path, section):
    text = f"[pool]\npath='p'\n[{section}]\nbase_url='https://me:s3cret@host/v1?api-key=K3Y'"
    sentence = refusal(tmp_path, text)
    assert "must hold no user, password" in sentence
    assert "s3cret" not in sentence
    assert "K3Y" not in sentence


def test_what_is_a_file_is_said_by_its_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("tok.json", "small.gguf", "folder"):
        (tmp_path / name).write_text("")
    here = {
        "select.tokenizer=tok.json": "tok.json",
        "select.likelihood_model=folder": "folder",
        "embed.model=folder": "folder",
        "train.model=folder": "folder",
        "raters.b.only=ids": "ids",
        "raters.local.model=small.gguf": "small.gguf",
        "gold.path=~nobody-of-that-name/gold.jsonl": "~nobody-of-that-name/gold.jsonl",
    }
    for item, name in here.items():
        assert list(parse_overrides([item]).values()) == [str(tmp_path / name)], item
    for item in ("select.tokenizer=org/name", "raters.b.model=folder", "train.template=tulu"):
        assert list(parse_overrides([item]).values()) == [item.partition("=")[2]], item
    several = parse_overrides(["select.decontaminate=['a', 'b']", "proof.arms=['random', 'x=a']"])
    assert list(several.values()) == [
        [str(tmp_path / "a"), str(tmp_path / "b")],
        ["random", f"x={tmp_path / 'a'}"],
    ]
    (tmp_path / "characters").mkdir()
    assert parse_overrides(["select.tokenizer=characters"]) == {"select.tokenizer": "characters"}


def test_a_name_that_may_be_a_file_starts_at_the_folder_of_the_recipe(tmp_path, monkeypatch):
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    assert resolve_name(folder, "model") == str(folder / "model")
    assert resolve_name(folder, "org/name") == "org/name"
    with pytest.raises(InputError, match="start at the run folder"):
        resolve_name(folder, "here")


@pytest.mark.parametrize(
    "more",
    [
        "[scores]\nscale='1-5'\n[rate]\nsample=5",  # whoever rates is named later
        "[scores]\ncolumn='s'\nscale='1-5'\n[rate]\nsample=5\n[raters.a]\nmodel='m'",
    ],
)
def test_settings_that_are_about_something_are_taken(tmp_path, more):
    assert load_recipe(write(tmp_path, f"[pool]\npath='p'\n{more}")).scores.scale == "1-5"
