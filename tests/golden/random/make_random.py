"""Numbers of the random streams, from the published algorithms in plain Python.

xoshiro256++ and SplitMix64: Blackman and Vigna, https://prng.di.unimi.it; FNV-1a: Fowler, Noll and
Vo. Writes `random.json` beside this script. Needs no packages.
"""

import json
import pathlib

MASK = 2**64 - 1


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h


def splitmix64(state):
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        yield z ^ (z >> 31)


def rotate_left(x, k):
    return (x << k | x >> (64 - k)) & MASK


def xoshiro256pp(seed):
    mixer = splitmix64(seed)
    s = [next(mixer) for _ in range(4)]
    while True:
        yield (rotate_left((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = s[1] << 17 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate_left(s[3], 45)


cases = []
for seed, name in [(0, ""), (1, "angles"), (2**63, "phantom")]:
    draw = xoshiro256pp(seed ^ fnv1a(name))
    uniform = [next(draw) >> 11 for _ in range(5)]
    below = [next(draw) * 1000 >> 64 for _ in range(5)]
    cases.append({"seed": seed, "name": name, "uniform_times_2_53": uniform, "below_1000": below})
pathlib.Path(__file__).with_name("random.json").write_text(json.dumps(cases, indent=1) + "\n")
