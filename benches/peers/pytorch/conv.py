"""Times a 3x3 convolution with zero padding in PyTorch, float32, on the CPU: forward, and each gradient alone."""

import argparse

import torch

import timing


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=96, help="of input and output")
    parser.add_argument("--size", type=int, default=128, help="image rows and columns")
    timing.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    torch.manual_seed(0)
    channels, size = arguments.channels, arguments.size
    x = torch.randn(1, channels, size, size)
    weight = torch.randn(channels, channels, 3, 3) / (3 * channels**0.5)
    output_gradient = torch.randn(1, channels, size, size)

    def backward(wanted):
        settings = [channels], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        return lambda: torch.ops.aten.convolution_backward(output_gradient, x, weight, *settings)

    work = {
        "forward": lambda: torch.nn.functional.conv2d(x, weight, padding=1),
        "input_gradient": backward([True, False, False]),
        "weight_gradient": backward([False, True, False]),
    }
    flops = 2 * 9 * channels**2 * size**2
    with torch.no_grad():
        for name, function in work.items():
            times = timing.milliseconds(function, arguments.warmup, arguments.samples)
            gflops = flops / times["median_ms"] / 1e6
            timing.report({"name": f"conv3x3/{name}/{channels}-{channels}/{size}", **times, "gflops": gflops})


if __name__ == "__main__":
    main()
