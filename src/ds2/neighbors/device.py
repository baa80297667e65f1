"""The search in cells on a device of PyTorch, such as a GPU.

The codes stay on the device: 2 bytes for each dimension and row, 2.6 GB for 10 million rows in 128
dimensions. Products are float32, as the processor's, and summed in another order: of two rows that
are equally near to the last bits another one may be found.
"""

from collections.abc import Callable

import numpy as np

from ds2.errors import InputError, MissingDependencyError

__all__ = ["Visit", "search_on"]

#: Places of rows (q,), candidates for each, cells to look into: places of the candidates (q, k).
Visit = Callable[[np.ndarray, int, int], np.ndarray]


def search_on(device: str, codes: np.ndarray, centres: np.ndarray, ends: np.ndarray) -> Visit:
    """What searches on a device as `ds2.neighbors.cells.CellIndex` does on processors.

    Args:
        device: as PyTorch calls it: "cuda", "cuda:1", "mps".
        codes: (n, r) float16, by place.
        centres: (c, r) float32 of unit length.
        ends: (c + 1,) the place at which each cell begins.

    Raises:
        MissingDependencyError: PyTorch is not installed.
        InputError: there is no such device.
    """
    try:
        import torch
    except ImportError:
        raise MissingDependencyError("torch", f"A search on '{device}'") from None
    try:
        held = torch.tensor(np.asarray(codes), device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).split("\n")[0]
        raise InputError(f"'device' is '{device}', which PyTorch cannot use: {why}") from None
    middle, begins = torch.tensor(np.asarray(centres), device=device), ends.tolist()

    def search(places: np.ndarray, k: int, width: int) -> np.ndarray:
        at = torch.tensor(places, device=device)
        mine = held[at].float()
        home = torch.tensor(np.searchsorted(ends, places, side="right") - 1, device=device)
        likeness = mine @ middle.T
        likeness.scatter_(1, home[:, None], torch.inf)
        looks = torch.zeros_like(likeness, dtype=torch.bool)
        looks.scatter_(1, likeness.topk(width, dim=1).indices, True)
        rows = torch.full((len(at), k), -1, device=device)
        best = torch.full((len(at), k), -torch.inf, device=device)
        for cell in looks.any(dim=0).nonzero()[:, 0].tolist():
            start, stop = begins[cell : cell + 2]
            asking = looks[:, cell].nonzero()[:, 0]
            products = mine[asking] @ held[start:stop].float().T
            own = at[asking] - start
            inside = ((own >= 0) & (own < stop - start)).nonzero()[:, 0]
            products[inside, own[inside]] = -torch.inf
            found = products.topk(min(k, stop - start), dim=1)
            near = torch.cat([best[asking], found.values], dim=1).topk(k, dim=1)
            both = torch.cat([rows[asking], start + found.indices], dim=1)
            best[asking], rows[asking] = near.values, both.gather(1, near.indices)
        rows[best == -torch.inf] = -1
        return np.asarray(rows.cpu().numpy())

    return search
