"""What a difference with known noise can show: quantiles, p values, power, what more would take.

    var = a + r          a: items, known well; r: runs, estimated with f degrees of freedom
    c²  = t_g² (1 − w²) + t_f² w²,   w = r / var,   g: clusters of items − 1
    interval = value ± c √var

Each noise is read with its own quantile of Student's t, as in Cochran's test, where w² in place of
his w holds the error at 5 % also between the extremes: see docs/decisions/0019.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from ds2.checks import check_fraction, check_int, check_positive

__all__ = [
    "ASSUMED",
    "LEVEL",
    "POWER",
    "SEEDS",
    "Noise",
    "critical_value",
    "detectable",
    "detectable_effect",
    "items_needed",
    "p_value",
    "power_at",
    "seeds_needed",
    "smallest_effects",
    "worth_it",
]

LEVEL, POWER = 0.95, 0.8
MOST_SEEDS, MOST_TIMES = 100, 1_000
#: Standard deviations assumed of an item's difference and of a run's mean, until two trained runs
#: tell: of right and wrong answers a discordance of 0.18 and 0.9 points from run to run (three runs
#: of the DS² authors differ by 0.4 to 1.2); of log-loss 0.037 nats an item and 0.003 a run, on the
#: safe side of the 0.019 to 0.025 and 0.001 to 0.003 of a model of 135M parameters
#: (`benchmarks/cpu_proof.py`).
ASSUMED = {"accuracy": (0.42, 0.009), "loss": (0.037, 0.003)}
#: Numbers of runs that a plan speaks of.
SEEDS = (1, 2, 3, 5, 10)
_LEAST = -300.0  # the logarithm of the smallest p value
_MIDDLES = (np.arange(200) + 0.5) / 200


@dataclass(frozen=True, slots=True)
class Noise:
    """Variance of a difference by its source.

    Attributes:
        items: that of another draw of items; with one run an arm all that is known.
        runs: that of other runs, with what they change item by item; NaN with one run in an arm.
        interaction: the part of ``runs`` that more items would reduce as well.
        df_items, df_runs: degrees of freedom of the two.
        seeds: runs of an arm (mean of the two arms).
    """

    items: float
    runs: float
    interaction: float
    df_items: float
    df_runs: float
    seeds: float

    @property
    def variance(self) -> float:
        """Of the difference: both sources; items alone with one run."""
        return self.items + (0.0 if np.isnan(self.runs) else self.runs)

    @property
    def se(self) -> float:
        """Standard error of the difference."""
        return math.sqrt(self.variance)

    @property
    def share(self) -> float:
        """What runs contribute to the variance, in [0, 1]; 0 with one run."""
        if np.isnan(self.runs) or self.variance == 0:
            return 0.0
        return self.runs / self.variance


def critical_value(noise: Noise, tail: float = (1 - LEVEL) / 2) -> float:
    """c: how many standard errors an interval with ``tail`` on each side reaches."""
    return float(_critical(noise, np.array(noise.share), tail))


def _critical(noise: Noise, share: np.ndarray, tail: float) -> np.ndarray:
    t_items = special.stdtrit(noise.df_items, tail)
    t_runs = t_items if np.isnan(noise.df_runs) else special.stdtrit(noise.df_runs, tail)
    return np.asarray(np.sqrt(t_items**2 * (1 - share**2) + t_runs**2 * share**2))


def p_value(value: float, noise: Noise) -> float:
    """The level at which the interval just reaches 0; NaN with one run."""
    if np.isnan(noise.runs):
        return float("nan")
    if noise.variance == 0:
        return float(value == 0)
    z = abs(value) / noise.se

    def beyond(log_p: float) -> float:
        return critical_value(noise, np.exp(log_p) / 2) - z

    if beyond(_LEAST) < 0:
        return float(np.exp(_LEAST))
    log_p: float = optimize.brentq(beyond, _LEAST, 0.0)
    return float(np.exp(log_p))


def power_at(effect: float, noise: Noise) -> float:
    """P(the interval excludes 0 on the right side | the difference is ``effect``).

    Averages over what the variance of runs may be estimated to be: χ²_f / f of the true one.
    """
    if noise.variance == 0:
        return 1.0
    runs = np.zeros(1)
    if not np.isnan(noise.runs):
        runs = noise.runs * special.chdtri(noise.df_runs, 1 - _MIDDLES) / noise.df_runs
    estimated = noise.items + runs
    share = np.divide(runs, estimated, out=np.zeros_like(runs), where=estimated > 0)
    reach = _critical(noise, share, (1 - LEVEL) / 2) * np.sqrt(estimated)
    return float(special.ndtr((effect - reach) / noise.se).mean())


def detectable(noise: Noise, power: float = POWER) -> float:
    """The smallest true difference that is found with this ``power``."""
    if noise.se == 0:
        return 0.0
    far = 1.0
    while power_at(far * noise.se, noise) < power:
        far *= 2
    return float(
        optimize.brentq(lambda x: power_at(x * noise.se, noise) - power, 0.0, far) * noise.se
    )


def detectable_effect(
    *,
    n_items: int | Sequence[int],
    n_seeds: int,
    item_sd: float,
    run_sd: float,
    paired: bool = False,
    power: float = POWER,
) -> float:
    """Say before any training how large a difference must be to be found.

        v = (item_sd² / T²) Σ_t 1 / n_t        a = v / 2        r = v / 2 + 2 run_sd² / S

    Half of what items differ by is taken to change from run to run, as it does between models that
    are trained alike.

    Args:
        n_items: items of the task, or of each task where their mean is the measure.
        n_seeds: runs of each arm, 2 or more.
        item_sd: standard deviation over items of the difference between two arms. For right or
            wrong answers the root of the discordance, the share of items that one arm alone gets
            right: often 0.12 to 0.22, so 0.35 to 0.47.
        run_sd: standard deviation of an arm's mean from run to run.
        paired: runs are compared in pairs: fewer degrees of freedom.
        power: the chance of finding it.

    Returns:
        The difference, in the unit of the standard deviations.

    Raises:
        InputError: a figure that is out of range.
    """
    counts = [n_items] if isinstance(n_items, int) else list(n_items)
    counts = [check_int("n_items", n, low=2) for n in counts]
    seeds = check_int("n_seeds", n_seeds, low=2)
    inverse = sum(1 / n for n in counts) / len(counts) ** 2
    half = check_positive("item_sd", item_sd, zero=True) ** 2 * inverse / 2
    noise = Noise(
        items=half,
        runs=half + 2 * check_positive("run_sd", run_sd, zero=True) ** 2 / seeds,
        interaction=half,
        df_items=sum(counts) - len(counts),
        df_runs=(seeds - 1) * (1 if paired else 2 * seeds / (seeds + 1)),
        seeds=seeds,
    )
    return detectable(noise, check_fraction("power", power, open_low=True))


def seeds_needed(noise: Noise, effect: float) -> int | None:
    """Runs of each arm that would find ``effect`` on these items; None above `MOST_SEEDS`."""
    if np.isnan(noise.runs):
        return None
    per_seed = noise.df_runs / (noise.seeds - 1)
    for seeds in range(2, MOST_SEEDS + 1):
        runs = noise.runs * noise.seeds / seeds
        planned = replace(noise, runs=runs, df_runs=per_seed * (seeds - 1))
        if power_at(effect, planned) >= POWER:
            return seeds
    return None


def items_needed(noise: Noise, n_items: int, effect: float) -> int | None:
    """Items that would find ``effect`` with these runs; None above `MOST_TIMES` as many."""
    if np.isnan(noise.runs):
        return None
    fixed = max(noise.runs - noise.interaction, 0.0)

    def lack(log_times: float) -> float:
        times = np.exp(log_times)
        runs = fixed + min(noise.interaction, noise.runs) / times
        return power_at(effect, replace(noise, items=noise.items / times, runs=runs)) - POWER

    low, high = -np.log(n_items / 2), np.log(MOST_TIMES)
    if lack(high) < 0:
        return None
    if lack(low) >= 0:
        return 2
    return int(np.ceil(n_items * np.exp(optimize.brentq(lack, low, high))))


def smallest_effects(
    items: Sequence[int], kind: str, seeds: Sequence[int] = SEEDS
) -> dict[int, float | None]:
    """Number of runs an arm → smallest difference of means found in 80 %; None with one run.

    Args:
        items: of each task.
        kind: "accuracy" or "loss".
        seeds: numbers of runs.
    """
    item_sd, run_sd = ASSUMED[kind]
    return {
        n: None
        if n < 2
        else detectable_effect(n_items=list(items), n_seeds=n, item_sd=item_sd, run_sd=run_sd)
        for n in seeds
    }


def worth_it(effects: Mapping[int, float | None], seeds: int, smallest: float) -> str:
    """Say whether so many runs can answer, and if not, whether more would."""
    if seeds < 2:
        return (
            "One run of each arm gives no verdict: another seed trains another model. Plan two at "
            "least (proof.seeds)."
        )
    reached = effects[seeds]
    if reached is not None and reached <= smallest:
        return f"{seeds} runs of each arm would find a difference of {smallest:g}."
    enough = [n for n, effect in effects.items() if effect is not None and effect <= smallest]
    said = f"{seeds} runs of each arm find a difference of {reached:.2g} or more."
    if enough:
        return f"{said} One of {smallest:g} takes {min(enough)} runs."
    most = max(effects)
    return (
        f"{said} One of {smallest:g} is out of reach even with {most} runs (they find "
        f"{effects[most]:.2g}): no money that people spend on this buys the answer. Add items, or "
        "ask for a larger difference (proof.smallest)."
    )
