import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_fakes import ScriptedRater, make_pool

from ds2.errors import InputError
from ds2.rating import PromptBuilder, Rubric, rate
from ds2.rating.prices import Budget, Price, estimate_tokens, most_input_tokens, read_prices

OWN = {"fake": {"input": 1.0, "output": 10.0}}


def test_the_packaged_prices_are_sound_and_dated():
    table = read_prices()
    assert len(table.models) >= 10
    for model, price in table.models.items():
        assert datetime.date.fromisoformat(price.date) <= datetime.date.today()
        assert 0 < price.input < price.output, model
        assert price.cached is None or 0 < price.cached < price.input, model


def test_a_dated_version_has_the_price_of_its_model():
    table = read_prices()
    assert table.price("gpt-4o-mini-2024-07-18") == table.price("gpt-4o-mini") is not None
    assert table.price("gpt-4o-mini-tuned") is None
    assert table.price("gpt-4o-mini-latest") is None
    assert table.price("gpt-4o-2024-05-13").input > table.price("gpt-4o").input


def test_an_unknown_price_is_none_and_never_zero():
    assert read_prices().price("meta/llama-nobody-sells") is None
    assert Price(1.0, 2.0).cost_usd(None, 5) is None
    assert Price(1.0, 2.0).cost_usd(5, None) is None


def test_own_prices_come_first(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text('[models]\n"gpt-4o-mini" = { input = 7, output = 8 }\n')
    assert read_prices(path).price("gpt-4o-mini") == Price(7, 8)
    assert read_prices({"gpt-4o-mini": Price(1, 2)}).price("gpt-4o-mini") == Price(1, 2)
    assert read_prices(path).price("gpt-4o") == read_prices().price("gpt-4o")


def test_cost_by_hand():
    assert Price(2.0, 8.0, 0.5).cost_usd(1_000_000, 100_000, 400_000) == pytest.approx(2.2)
    assert Price(2.0, 8.0).cost_usd(1_000_000, 0, 400_000) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "price",
    [{}, {"input": 1}, {"input": -1, "output": 1}, {"input": "1", "output": 1}, 3, None,
     {"input": True, "output": 1}, {"input": 1, "output": 1, "more": 1},
     {"input": math.nan, "output": 1}],
)  # fmt: skip
def test_what_is_no_price_is_refused(price):
    with pytest.raises(InputError, match="must be a price"):
        read_prices({"m": price})


@pytest.mark.parametrize("text", ["models = 3", "no toml [", "[models]\nm = 3"])
def test_a_file_that_holds_no_prices_is_named(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.toml"):
        read_prices(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_prices(tmp_path / "none.toml")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=40), st.floats(0, 5))
def test_no_order_of_events_exceeds_the_budget(requests, most):
    """Each request reserves the most it can cost and then costs a share of it, or all."""
    budget, open_requests = Budget(most), []
    for index, (size, share) in enumerate(requests):
        if budget.reserve(size):
            open_requests.append((size, share))
        if index % 3 == 0 and open_requests:
            first, part = open_requests.pop(0)
            budget.settle(first, None if part > 0.9 else first * part)
        assert budget.spent_usd + budget.reserved_usd <= most + 1e-9


@given(st.text(max_size=60))
def test_a_prompt_has_no_more_tokens_than_bytes(text):
    clean = text.encode("utf-8", "replace")
    assert most_input_tokens([{"role": "user", "content": text}]) >= len(clean)
    assert estimate_tokens(text) <= len(clean) + 1


def forecast_of(pool, rater, **asked):
    """What is told before the first request; none is sent."""
    told = []
    rate(pool, rater, confirm=told.extend, **asked)
    return told[0]


def test_the_forecast_counts_tokens_and_money(tmp_path):
    pool = make_pool(tmp_path, 50)
    builder = PromptBuilder(Rubric.ds2(), "nonce", "expected")
    count = len  # a token per character
    rater = ScriptedRater(form="expected")
    told = forecast_of(pool, rater, prices=OWN, count_tokens=count, nonce="nonce")
    exact = sum(
        sum(4 + len(m["content"]) for m in builder.build(example.messages).messages)
        for example in pool
    )
    assert (told.n_requests, told.n_input, told.n_output) == (50, exact, 50)
    assert told.cost_usd == pytest.approx((exact + 500) / 1e6)
    unknown = forecast_of(pool, rater)
    assert unknown.cost_usd is None
    assert "cost unknown" in str(unknown)
    assert "prices of" not in str(told)
    (tmp_path / "my.toml").write_text("date = 2026-01-02\n[models]\nfake = {input = 1, output = 2}")
    assert "(prices of 2026-01-02)" in str(forecast_of(pool, rater, prices=tmp_path / "my.toml"))
    assert "about" in str(unknown)


def test_the_forecast_comes_before_any_request_and_can_stop_it(tmp_path):
    rater, seen = ScriptedRater(), []
    result = rate(
        make_pool(tmp_path, 12),
        rater,
        prices=OWN,
        confirm=lambda told: seen.append((told[0].n_requests, rater.opened)),
    )
    assert seen == [(12, 0)]
    assert rater.prompts == []
    assert result.problems == {"not asked": 12}


def test_the_budget_is_a_hard_stop_with_a_usable_rest(tmp_path):
    pool, store = make_pool(tmp_path, 300), tmp_path / "s.sqlite"
    each_usd = (100 * 1.0 + 20 * 10.0) / 1e6
    with pytest.warns(UserWarning, match="max_cost_usd"):
        result = rate(pool, ScriptedRater(), store=store, prices=OWN, max_cost_usd=100 * each_usd)
    rated = int((result.codes == 0).sum())
    assert result.usage["cost_usd"] <= 100 * each_usd + 1e-12
    assert 80 <= rated <= 100, "the reserve of one request may stay unused"
    assert result.problems == {"not asked": 300 - rated}
    again = ScriptedRater()
    with pytest.warns(UserWarning, match="max_cost_usd"):
        rate(pool, again, store=store, prices=OWN, max_cost_usd=100 * each_usd)
    assert len(again.prompts) <= 100 - rated, "the limit holds over all runs on the store"


def test_a_budget_of_nothing_asks_nothing(tmp_path):
    rater = ScriptedRater()
    with pytest.warns(UserWarning, match="max_cost_usd"):
        rate(make_pool(tmp_path, 5), rater, prices=OWN, max_cost_usd=0.0)
    assert rater.prompts == []


def test_a_budget_without_a_price_is_refused_before_any_request(tmp_path):
    rater = ScriptedRater()
    with pytest.raises(InputError, match="price of the model 'fake'"):
        rate(make_pool(tmp_path, 5), rater, max_cost_usd=1.0)
    assert rater.opened == 0


def test_several_raters_share_one_budget(tmp_path):
    each_usd = (100 * 1.0 + 20 * 10.0) / 1e6
    raters = [ScriptedRater(name=name, settings={"variant": name}) for name in "ab"]
    with pytest.warns(UserWarning, match="max_cost_usd"):
        results = rate(
            make_pool(tmp_path, 200), raters, prices=OWN, max_cost_usd=60 * each_usd
        ).parts
    spent = sum(result.usage["cost_usd"] for result in results)
    assert 30 * each_usd <= spent <= 60 * each_usd + 1e-12
