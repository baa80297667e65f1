"""Slots whose values are computed, so that good answers hold right numbers and poor ones wrong."""

from __future__ import annotations

import statistics as stats

import numpy as np

Slots = dict[str, str]


def pick(rng: np.random.Generator, values: str) -> str:
    """One of the comma-separated `values`."""
    options = values.split(", ")
    return options[int(rng.integers(len(options)))]


def number(value: float, digits: int = 2) -> str:
    """Write `value` with at most `digits` decimals and no trailing zeros."""
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shopping(rng: np.random.Generator) -> Slots:
    """A purchase, boxes with a few pieces lost, and a theatre's ticket sales."""
    n, price = int(rng.integers(3, 15)), int(rng.integers(2, 13))
    boxes, lost = int(rng.integers(3, 13)), int(rng.integers(2, 6))
    percent = int(pick(rng, "5, 10, 15, 20, 25"))
    total = n * price
    note = next(value for value in (20, 50, 100, 200) if value > total)
    wrong_total = total + int(pick(rng, "-7, -4, 3, 6, 10"))
    kid = int(rng.integers(4, 9))
    adult = kid + int(rng.integers(3, 8))
    adults, kids = int(rng.integers(60, 190)), int(rng.integers(40, 160))
    gap, surplus = adult - kid, (adult - kid) * adults
    return {
        "child": pick(rng, "Maya, Tom, Aisha, Leo, Nora, Ben, Ines, Omar"),
        "thing": pick(rng, "notebooks, marbles, apples, pencils, stickers, candles, tennis balls"),
        **{k: str(v) for k, v in {"n": n, "price": price, "boxes": boxes, "lost": lost}.items()},
        "percent": str(percent),
        "total": str(total),
        "note": str(note),
        "wrong_total": str(wrong_total),
        "wrong_change": str(abs(note - wrong_total) + 1),
        "remaining": str(n * boxes - lost),
        "discount": number(total * percent / 100),
        "reduced": number(total * (100 - percent) / 100),
        "adult": str(adult),
        "kid": str(kid),
        "adults": str(adults),
        "kids": str(kids),
        "tickets": str(adults + kids),
        "revenue": str(adult * adults + kid * kids),
        "gap": str(gap),
        "surplus": str(surplus),
        "all_kids": str(kid * (adults + kids)),
        "impossible": str(adult * adults + kid * kids + 1),
        "surplus_impossible": str(surplus + 1),
    }


def interest(rng: np.random.Generator) -> Slots:
    """A savings account, with and without inflation, and two offers for one loan."""
    capital, years = 500 * int(rng.integers(2, 40)), int(rng.integers(3, 13))
    rate, inflation = int(rng.integers(10, 46)) / 10, int(rng.integers(10, 40)) / 10
    end = capital * (1 + rate / 100) ** years
    prices = round((1 + inflation / 100) ** years, 4)
    real_rate = 100 * ((1 + rate / 100) / (1 + inflation / 100) - 1)
    slots = {
        "capital": str(capital),
        "years": str(years),
        "rate": number(rate),
        "rate_fraction": number(rate / 100, 4),
        "factor": number(1 + rate / 100, 4),
        "end": f"{end:.2f}",
        "gain": f"{end - capital:.2f}",
        "wrong_end": number(capital + rate * int(rng.integers(1, 4))),
        "inflation": number(inflation),
        "inflation_factor": number(1 + inflation / 100, 4),
        "price_factor": number(prices, 4),
        "real": f"{end / prices:.2f}",
        "real_rate": number(real_rate),
        "naive": number(rate - inflation),
        "verdict": "grows a little" if real_rate > 0 else "does not grow, and may well shrink",
    }
    return slots | _two_loans(rng)


def _two_loans(rng: np.random.Generator) -> Slots:
    loan, term = 5000 * int(rng.integers(2, 16)), int(rng.integers(3, 11))
    rate_a = int(rng.integers(45, 75)) / 10
    rate_b = round(rate_a - int(rng.integers(6, 15)) / 10, 1)
    fee, months = 50 * int(rng.integers(3, 12)), 12 * term
    pay_a, pay_b = (
        round(loan * (r / 1200) / (1 - (1 + r / 1200) ** -months), 2) for r in (rate_a, rate_b)
    )
    saving = round(pay_a - pay_b, 2)
    breakeven = int(np.ceil(fee / saving))
    lead = pay_a * months - (pay_b * months + fee)
    within = f" of {months}"
    return {
        "loan": str(loan),
        "term": str(term),
        "rate_a": number(rate_a),
        "rate_b": number(rate_b),
        "fee": str(fee),
        "months": str(months),
        "pay_a": f"{pay_a:.2f}",
        "pay_b": f"{pay_b:.2f}",
        "sum_a": f"{pay_a * months:.2f}",
        "sum_b": f"{pay_b * months:.2f}",
        "total_b": f"{pay_b * months + fee:.2f}",
        "saving": f"{saving:.2f}",
        "breakeven": str(breakeven),
        "of_months": within if breakeven <= months else ", which is after the last payment",
        "winner": "bank B" if lead > 0 else "bank A",
        "difference": f"{abs(lead):.2f}",
    }


def statistics(rng: np.random.Generator) -> Slots:
    """Five or seven measurements and one outlier."""
    count = int(pick(rng, "5, 7"))
    values = [int(v) for v in rng.integers(12, 60, size=count)]
    outlier = int(rng.integers(180, 400))
    mean, median = stats.fmean(values), stats.median(values)
    longer = [*values, outlier]
    return {
        "measured": pick(rng, "delivery times, visitor counts, support tickets, waiting times"),
        "numbers": ", ".join(map(str, values)),
        "ordered": ", ".join(map(str, sorted(values))),
        "count": str(count),
        "count_plus": str(count + 1),
        "sum": str(sum(values)),
        "mean": number(mean),
        "median": number(median),
        "largest": str(max(values)),
        "smallest": str(min(values)),
        "range": str(max(values) - min(values)),
        "sd": number(stats.stdev(values)),
        "outlier": str(outlier),
        "mean_out": number(stats.fmean(longer)),
        "median_out": number(stats.median(longer)),
        "sd_out": number(stats.stdev(longer)),
        "shift": number(stats.fmean(longer) - mean),
        "median_shift": number(abs(stats.median(longer) - median)),
    }


def units(rng: np.random.Generator) -> Slots:
    """One conversion between units of the same kind."""
    table = (
        ("miles", "kilometres", 1.609344, "cycling route"),
        ("pounds", "kilograms", 0.45359237, "suitcase weight"),
        ("inches", "centimetres", 2.54, "shelf width"),
        ("gallons", "litres", 3.785411784, "fish tank"),
        ("acres", "hectares", 0.404686, "vineyard"),
        ("feet", "metres", 0.3048, "ceiling height"),
    )
    from_unit, to_unit, factor, thing = table[int(rng.integers(len(table)))]
    amount = int(rng.integers(3, 90))
    return {
        "from_unit": from_unit,
        "to_unit": to_unit,
        "factor": number(factor, 4),
        "object": thing,
        "amount": str(amount),
        "result": number(amount * round(factor, 4)),
        "wrong": number(amount * factor * float(pick(rng, "0.3, 0.5, 1.9, 2.6"))),
    }


def invoice(rng: np.random.Generator) -> Slots:
    """An order in prose and its parts, for extraction."""
    goods = "desk lamp, office chair, whiteboard, paper box, keyboard, monitor, label printer"
    first, second = rng.permutation(goods.split(", "))[:2]
    q1, q2 = int(rng.integers(2, 9)), int(rng.integers(2, 9))
    p1, p2 = int(rng.integers(9, 95)), int(rng.integers(9, 95))
    day, month = int(rng.integers(1, 29)), int(rng.integers(1, 13))
    months = "January February March April May June July August September October November December"
    return {
        "company": pick(rng, "Harbour Print Ltd, Maple Dental, Kestrel Logistics, Oakfield School"),
        "contact": pick(rng, "Julia Brandt, Samir Haddad, Keiko Mori, Pedro Alves, Anna Novak"),
        "order_no": f"{pick(rng, 'A, B, C, D')}-{int(rng.integers(1000, 9999))}",
        "first": str(first),
        "second": str(second),
        **{k: str(v) for k, v in {"q1": q1, "q2": q2, "p1": p1, "p2": p2}.items()},
        "order_total": str(q1 * p1 + q2 * p2),
        "day": str(day),
        "month_name": months.split()[month - 1],
        "iso_date": f"2024-{month:02d}-{day:02d}",
    }
