"""Rates a pool, as a process of its own that a test kills: pool, store, url."""

import sys
import warnings
from importlib import import_module
from importlib.util import find_spec

from ds2.errors import Ds2Warning
from ds2.pool import Pool
from ds2.rating import ChatRater, rate


def main() -> None:
    pool, store, url = sys.argv[1:]
    warnings.simplefilter("ignore", Ds2Warning)
    for library in ("numpy", "pyarrow", "openai", "aiohttp"):  # before the test's clock starts
        if find_spec(library):
            import_module(library)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    rate(
        Pool.load(pool),
        ChatRater("m", base_url=url, concurrency=16),
        store=store,
        nonce="of the test",
        repeats=20,
    )


if __name__ == "__main__":
    main()
