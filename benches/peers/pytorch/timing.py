"""What the PyTorch peers share: the clock, the memory reading and the record they print."""

import json
import resource
import statistics
import sys
import time

import torch


def peak_rss_mib():
    """Highest resident memory of this process so far; `ru_maxrss` is in KiB, on macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def add_arguments(parser):
    parser.add_argument("--threads", type=int, help="default: as PyTorch chooses")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--samples", type=int, default=9)


def milliseconds(work, warmup, samples):
    """Median, minimum and maximum duration of `work()` after `warmup` unmeasured calls."""
    times = []
    for call in range(warmup + samples):
        start = time.perf_counter()
        work()
        if call >= warmup:
            times.append(1e3 * (time.perf_counter() - start))
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times), "samples": samples}


def report(record):
    print(json.dumps({**record, "threads": torch.get_num_threads(), "torch": torch.__version__}))
