"""Guess from the ratings when another scale than the declared one was meant."""

import numpy as np

from ds2.errors import InputError
from ds2.rating.scale import Scale, even_bins

__all__ = ["suggest_scale"]

_COMMON = ((0.0, 1.0), (-1.0, 1.0), (1.0, 5.0), (0.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
_ENOUGH = 100
_MANY = 0.25


def suggest_scale(values: np.ndarray, scale: Scale) -> str | None:
    """Return a sentence with the setting to use when the ratings fit another scale, else None.

    That is when most of them lie outside the declared range; when more than a quarter do, at
    more than one value (a single value, such as 0, may stand for "unrated"); or when all lie in a
    narrower range and either some are outside or the declared range's upper half is unused.
    """
    found = values[np.isfinite(values)]
    if len(found) == 0:
        return None
    outside = found[~scale.contains(found)]
    share = len(outside) / len(found)
    low, high = _range(float(found.min()), float(found.max()))
    narrower = high - low < scale.high - scale.low
    unused = len(found) >= _ENOUGH and found.max() <= (scale.low + scale.high) / 2
    many = share > _MANY and len(np.unique(outside)) > 1
    if not (share > 0.5 or many or (narrower and (share > 0 or unused))):
        return None
    said = (
        f"{len(outside):,} of {len(found):,} ratings are outside the declared scale, "
        if len(outside)
        else "No rating is in the upper half of the declared scale, "
    )
    return (
        f"{said}{scale.low:g} to {scale.high:g}; all of them lie in {low:g} to {high:g}. If that "
        f"is their scale, set {_setting(low, high, found)}."
    )


def _range(low: float, high: float) -> tuple[float, float]:
    """Return the narrowest common range around the ratings."""
    around = [ends for ends in _COMMON if ends[0] <= low and high <= ends[1]]
    if around:
        return min(around, key=lambda ends: ends[1] - ends[0])
    return float(np.floor(low)), float(max(np.ceil(high), np.floor(low) + 1))


def _setting(low: float, high: float, values: np.ndarray) -> str:
    if low == 0 and high <= 9 and (values == np.floor(values)).all():
        return f'scale = "levels:{int(high) + 1}"'
    text = f"{low:.12g}-{high:.12g}"
    try:
        if high - low > 2:
            Scale.parse(text)
            return f'scale = "{text}"'
    except InputError:
        pass
    return f'scale = "{text}" and bins = {even_bins(low, high)}'
