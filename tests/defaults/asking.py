"""Helpers for the files of this folder, each of which asks one framework for its defaults.

These are the defaults that the `defaults.py` of the framework's family in `backends/` states.
They run in the framework's environment, from the project's folder (`python -m tests.defaults.jax`),
and `answer` prints the result.
"""

import inspect
import json

import numpy as np

# Each table gives the word for the number that a small experiment finds.
# The first output of a convolution with stride 2 over 1 .. 6. Its window takes the first of three.
ODD = {1.0: "after the image", 0.0: "before the image"}
# How many pools of 2 a line of 5 has.
REST = {2.0: "dropped", 3.0: "a pool of its own"}
# The average of a pool of 2 x 2 that holds one pixel, which is 1.
PADDED = {1.0: "ignores padding zeros", 0.25: "counts padding zeros"}
# The gradient of a pool of 2 x 2 ones.
TIES = {(1.0, 0.0, 0.0, 0.0): "to the first maximum", (1.0, 1.0, 1.0, 1.0): "to every maximum"}
# What dropout makes of 1 at a rate of 0.2.
SCALED = {1.25: "kept values times 1 / (1 - rate)", 1.0: "none"}
# The running mean, which was 0, after a batch whose mean is 1, with momentum 0.75.
AVERAGED = {0.25: "weight of the old value", 0.75: "weight of the new value"}
# The variance of 0 and 2.
VARIANCE = {1.0: "biased (n)", 2.0: "unbiased (n - 1)"}
# The loss of the outputs (0.25, 0.75) where the second class is right.
TAKES = {0.288: "probabilities", 0.474: "logits"}
# One step with learning rate 1, gradient 1e-3, epsilon 1e-3 and no memory. Adam's betas are 0.5.
PLACES = {0.5: "outside the root", 0.032: "inside the root"}
CORRECTED = {0.5: "after the correction", 0.414: "before the correction"}
# One step with learning rate 0.5, weight decay 0.1 and gradient 0, from weight 1.
DECAYED = {0.05: "separate from the gradient", 0.5: "added to the gradient"}
# The second of two steps with momentum 0.5: gradient 1 at rate 1, then gradient 0 at rate 0.1.
COASTED = {0.5: "includes the learning rate", 0.05: "without the learning rate"}


def word(words, found):
    key = tuple(np.round(np.ravel(np.asarray(found, float)), 3).tolist())
    return words.get(key if len(key) > 1 else key[0], f"found {key}")


def given(function, name):
    """The default of an argument; None where there is no such argument."""
    argument = inspect.signature(function).parameters.get(name)
    if argument is None:
        return None
    return "required argument" if argument.default is argument.empty else argument.default


def named(module, part):
    """The public names that hold `part`; None where there are none."""
    names = [name for name in dir(module) if part in name.lower() and not name.startswith("_")]
    return names or None


def axes(shape):
    """The axes of a kernel of height 2, width 3, 4 inputs and 5 outputs."""
    names = {2: "height", 3: "width", 4: "in", 5: "out"}
    return "(" + ", ".join(names[size] for size in shape) + ")"


def flattened(order, found):
    """`order`, if the numbers 0 .. 23 that lay in that order still do."""
    return order if found == [*range(24)] else f"found {found}"


def cut(draws):
    # Beyond 2.5 deviations lie 1.2 % of a normal distribution. Keras on PyTorch truncates and still
    # lets 4e-6 pass.
    beyond = np.mean(np.abs(draws) > 2.5 * np.std(draws))
    return "truncated" if beyond < 1e-4 else "not truncated"


def share(outcome):
    """What dropout's 0.2 means, from what it made of many ones."""
    zeros = float(np.mean(np.asarray(outcome) == 0))
    return word({0.2: "fraction dropped", 0.8: "fraction kept"}, round(zeros, 1))


def reduced(two, one):
    """How a loss treats its batch, from the loss of an example given twice and given once."""
    if np.size(two) == 2:
        return "one loss per example"
    return word({1.0: "mean over its examples", 2.0: "sum over its examples"}, two / one)


def defaults(questions):
    """What each question finds, by term; where it fails, its error."""
    found = {}
    for term, question in questions.items():
        try:
            found[term] = question()
        except Exception as error:  # noqa: BLE001 - one that fails must not hide the others
            found[term] = f"{type(error).__name__}: {error}"
    return found


def answer(questions, unasked):
    """Print the defaults found, and why the other terms are not asked, as one line of JSON."""
    print(json.dumps({"defaults": defaults(questions), "unasked": unasked}, default=repr))
