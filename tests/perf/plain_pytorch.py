"""Handwritten PyTorch loops: one with the adapter's steps, and the tutorials' loop."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def softmax():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def mlp():
    sizes = (784, 200, 100, 60, 30)
    hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(30, 10))


def cnn():
    convolutions = (nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU())
    pool = (nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten())
    dense = (nn.Linear(4608, 256), nn.ReLU(), nn.Dropout(0.25), nn.Linear(256, 10))
    return nn.Sequential(*convolutions, *pool, *dense)


class RmsProp:
    """RMSprop by Keras's formula, written by hand."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self):
        gradients = [parameter.grad for parameter in self.parameters]
        torch._foreach_mul_(self.squares, 0.9)
        torch._foreach_addcmul_(self.squares, gradients, gradients, 0.1)
        roots = torch._foreach_add(self.squares, 1e-7)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self.parameters, gradients, roots, -1e-3)


def make(workload, weights):
    """A model with the given weights, and its optimizer."""
    model = {"softmax": softmax, "mlp-relu": mlp, "cnn": cnn}[workload]()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), weights.values(), strict=True):
            transposed = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            parameter.copy_(torch.from_numpy(transposed))
    if workload != "cnn":
        return model, RmsProp(model.parameters())
    settings = {"lr": 1.0, "rho": 0.95, "eps": 1e-7, "foreach": True}
    return model, torch.optim.Adadelta(model.parameters(), **settings)


def plain_loop(workload, weights, images, labels, threads):
    """A function that trains an epoch in the given order; it gathers batches from two tensors."""
    torch.set_num_threads(threads)
    model, optimizer = make(workload, weights)
    x, y = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)

    def epoch(order):
        model.train()
        total = torch.zeros((), dtype=torch.float64)
        for batch in torch.from_numpy(order).split(128):
            logits = model(x.index_select(0, batch))
            loss = functional.cross_entropy(logits, y.index_select(0, batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total.add_(loss.detach(), alpha=len(batch))
        return total.item() / len(order)

    return epoch


def tutorial_loop(workload, weights, images, labels, threads):
    """A function that trains an epoch as in PyTorch's tutorials.

    A DataLoader shuffles a TensorDataset, and each step calls `.item()`.
    """
    torch.set_num_threads(threads)
    model, optimizer = make(workload, weights)
    x, y = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)
    dataset = TensorDataset(x, y)
    loader = DataLoader(dataset, batch_size=128, shuffle=True)

    def epoch(order):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        return total / len(order)

    return epoch
