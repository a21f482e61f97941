"""Layers that several networks share: activation and perceptron."""

from itertools import pairwise

from torch import nn

LEAK = 0.1
"""Slope of the activation below 0."""


def activation() -> nn.Module:
    """Build a leaky ReLU 0.1, as in the authors' published code; in place is faster on a CPU."""
    return nn.LeakyReLU(LEAK, inplace=True)


def perceptron(*sizes: int) -> nn.Sequential:
    """Build fully connected layers of these sizes, with activations between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])
