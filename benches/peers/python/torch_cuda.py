"""Times PyTorch's 3x3 convolutions, 128x128 pixels, a Fourier transform, the ray transform and the training
step of torch_peer.py on a CUDA device, float32.

    python3 torch_cuda.py

Milliseconds by the device's events: the median of 5 times 50 calls after 30 to warm up. TF32 is off, because
the kernels here compute in float32. Zero padding, as in torch_peer.py. A step is timed twice: as a user's loop
runs it, and replayed from a CUDA graph, without the time that the processor needs to launch it.
"""

import statistics

import torch

import torch_peer

torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True
SIZE, CALLS = 128, 50


def milliseconds(work):
    for _ in range(30):
        work()
    times = []
    for _ in range(5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(CALLS):
            work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / CALLS)
    return statistics.median(times)


def replayed(work):
    """The same work as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def main():
    torch.set_default_device("cuda")
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}")
    for inputs, outputs in [(96, 96), (7, 96), (96, 6)]:
        x = torch.randn(1, inputs, SIZE, SIZE)
        weight = torch.randn(outputs, inputs, 3, 3)
        gradient = torch.randn(1, outputs, SIZE, SIZE)

        def backward(*wanted):
            settings = [outputs], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [*wanted, False]
            return lambda: torch.ops.aten.convolution_backward(gradient, x, weight, *settings)

        for name, work in [
            ("forward", lambda: torch.nn.functional.conv2d(x, weight, padding=1)),
            ("input_gradient", backward(True, False)),
            ("weight_gradient", backward(False, True)),
        ]:
            print(f"conv3x3/{name}/{inputs}-{outputs}/{SIZE}  {milliseconds(work):.4f}")
    plane = torch.randn(512, 512, dtype=torch.complex64)
    print(f"fft2/512  {milliseconds(lambda: torch.fft.fft2(plane)):.4f}")
    for direction in ["forward", "adjoint"]:
        print(f"ray/{direction}/512-50-728  {milliseconds(torch_peer.ray(direction, 512, 50, 728)):.4f}")
    for group in ["C1", "C4"]:
        work, _ = torch_peer.step(group, 96, 128)
        print(f"step/ct/{group}/96/128  {milliseconds(work):.4f}")
        print(f"step/ct/{group}/96/128, as a graph  {milliseconds(replayed(work)):.4f}")


main()
