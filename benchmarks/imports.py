"""How long `import ds2` and `ds2 --help` take, each in fresh processes (the median of nine).

python benchmarks/imports.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from _common import json_line, table

COMMANDS = {
    "python, nothing": [sys.executable, "-c", "pass"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import ds2": [sys.executable, "-c", "import ds2"],
    "ds2 --help": [str(Path(sys.executable).parent / "ds2"), "--help"],
}


def main() -> None:
    seconds = {name: [] for name in COMMANDS}
    for _ in range(9):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    table([{"command": name, "median s": value} for name, value in medians.items()])
    json_line("imports", seconds=medians)


if __name__ == "__main__":
    main()
