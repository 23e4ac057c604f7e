"""What the peers in Python share: names of benchmarks, the clock, the memory reading, and the two ways to run.

    SCRIPT NAME [--samples N] [--threads N]   times NAME and prints its record, one line of JSON
    SCRIPT NAME --serve                       does the work once for each line on standard input

The second is how `equilens bench --table --peer-command` runs a peer in turns with itself.
"""

import argparse
import json
import math
import pathlib
import re
import resource
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "golden"))

FIELD_OF_VIEW = 0.36
WARM_UP = 2


def peak_rss_mib():
    """Highest resident memory of this process so far; `ru_maxrss` is in KiB, on macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def ray_benchmark(name):
    """(direction, size, views, bins) of `ray/DIRECTION/SIZE-VIEWS[-BINS]`, or None."""
    found = re.fullmatch(r"ray/(forward|adjoint)/(\d+)-(\d+)(?:-(\d+))?", name)
    if not found:
        return None
    size, views = int(found[2]), int(found[3])
    return found[1], size, views, int(found[4] or math.ceil(math.sqrt(2) * size))


def run(peer, prepare, description):
    """Parses the command line, prepares, and times.

    `prepare(name, arguments)` gives a function that does the work once, and the record's further
    fields, or None if the peer does not know the benchmark.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("name", metavar="NAME", help="a benchmark as `equilens bench` names it")
    parser.add_argument("--serve", action="store_true", help="one sample for each line on standard input")
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--threads", type=int, help="default: as the library chooses")
    arguments = parser.parse_args()
    base_rss = peak_rss_mib()
    prepared = prepare(arguments.name, arguments)
    if prepared is None:
        parser.error(f"{peer} does not know {arguments.name}")
    work, fields = prepared

    def sample():
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)

    first = sample()
    for _ in range(WARM_UP):
        sample()
    times = []
    if arguments.serve:
        print(json.dumps({"ready": True, "name": arguments.name, "peer": peer}), flush=True)
        for _ in sys.stdin:
            times.append(sample())
            print(json.dumps({"ms": times[-1]}), flush=True)
    else:
        times = [sample() for _ in range(arguments.samples)]
    if times:
        record = {
            "name": arguments.name,
            "peer": peer,
            "median_ms": statistics.median(times),
            "min_ms": min(times),
            "max_ms": max(times),
            "samples": len(times),
            "first_ms": first,
            # Of the whole process, and before any array was made.
            "peak_rss_mib": peak_rss_mib(),
            "base_rss_mib": base_rss,
        }
        print(json.dumps({**record, **fields}), flush=True)
