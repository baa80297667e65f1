"""What a proof could show, before anything is spent: the smallest effect for each number of runs.

Until there are two trained runs to measure it on, what items and runs differ by is assumed: of
right and wrong answers a discordance of 0.18 and 0.9 points from run to run (three runs of the DS²
authors differ by 0.4 to 1.2); of log-loss 0.037 nats an item and 0.003 a run, on the safe side of
the 0.019 to 0.025 and 0.001 to 0.003 of a model of 135M parameters (`benchmarks/cpu_proof.py`).
"""

from collections.abc import Mapping, Sequence

from ds2.proof.power import detectable_effect

__all__ = ["ASSUMED", "SEEDS", "smallest_effects", "worth_it"]

#: Standard deviations assumed of an item's difference and of a run's mean: of accuracy, of loss.
ASSUMED = {"accuracy": (0.42, 0.009), "loss": (0.037, 0.003)}
#: Numbers of runs that a plan speaks of.
SEEDS = (1, 2, 3, 5, 10)


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
