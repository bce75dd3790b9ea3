"""The parts that the generators of scripts share: text in the form of `ruff format`, and the data.

A generator is a function `script(workload)` in a family's package. It returns a short program that
trains the workload as the framework's own tutorial would (`bench show NAME --as FRAMEWORK`). The
family names it in `Family.scripts`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping

from msgspec import Struct

from backends.contract import Unsupported
from backends.defaults import Default
from specs.model import Flatten, Layer, Optimizer, Workload
from specs.shapes import same_padding

LINE_LENGTH = 88  # ruff's and Black's default
_DATA_SETS = ("mnist", "mnist-expanded", "fashion-mnist")
_SHAPE, _CLASSES = (28, 28, 1), 10
# What a script calls a data set, and where the four files are; `bench.data.archives` has the same
# folders.
_ADDRESSES = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
# The settings of optimizers -> their names in `backends.defaults`.
_SETTINGS = {
    "learning_rate": "learning rate",
    "momentum": "momentum",
    "nesterov": "nesterov",
    "rho": "rho",
    "epsilon": "epsilon",
    "initial_accumulator": "first accumulator",
    "weight_decay": "weight decay",
}
# Every framework here has the betas of the paper (Kingma and Ba 2015).
_BETAS = {"beta_1": 0.9, "beta_2": 0.999}

EXPAND = '''\
def expand(images, labels):
    """Add four copies, shifted by one pixel up, down, left and right."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (2, 1), (0, 1), (1, 2), (1, 0)]
    copies = [padded[:, row : row + 28, left : left + 28] for row, left in corners]
    return np.concatenate(copies), np.tile(labels, 5)
'''
_READ = """\
def read(name, offset):
    path = Path("data/{archive}", name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        urllib.request.urlretrieve(URL + name, path)
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset)
"""
_LOAD = """\
def load_data(part):
    images = read(f"{part}-images-idx3-ubyte.gz", offset=16).reshape({first})
    labels = read(f"{part}-labels-idx1-ubyte.gz", offset=8)
{expand}    return images{then} / np.float32(255), labels
"""
_EXPAND_HERE = """\
    if part == "train":
        images, labels = expand(images, labels)
"""
READER_IMPORTS = ("import gzip", "import urllib.request", "from pathlib import Path")
END = """\
if __name__ == "__main__":
    main()
"""


class Data(Struct, frozen=True, kw_only=True):
    """The data of a script.

    Attributes:
        archive: "mnist" or "fashion-mnist".
        is_expanded: whether shifted copies are added to the training images.
    """

    archive: str
    is_expanded: bool

    @property
    def address(self) -> str:
        """The folder with the four files, as a URL."""
        return _ADDRESSES[self.archive]

    def reader(self, *, flat: bool) -> tuple[str, ...]:
        """The functions that read the four files: `read`, `load_data`, and what they call.

        Args:
            flat: whether an image is a vector (784,), otherwise it is (28, 28, 1).
        """
        shape = "-1, 784" if flat else "-1, 28, 28, 1"
        first, then, expand = shape, "", ""
        if self.is_expanded:
            first, then, expand = "-1, 28, 28", f".reshape({shape})", _EXPAND_HERE
        read, load = _READ.replace("{archive}", self.archive), _LOAD.replace("{first}", first)
        load = load.replace("{then}", then).replace("{expand}", expand)
        return (read, EXPAND, load) if self.is_expanded else (read, load)


def data_of(workload: Workload) -> Data:
    """The workload's data.

    Raises:
        Unsupported: the data set is not published, or its images do not fit the model.
    """
    name, shape, classes = workload.recipe.dataset, workload.input.shape, workload.input.classes
    if name not in _DATA_SETS:
        known = ", ".join(_DATA_SETS)
        raise Unsupported(f"a script trains on a published data set ({known}), not on '{name}'")
    if shape != _SHAPE or classes != _CLASSES:
        raise Unsupported(
            f"the images of '{name}' have the shape {_SHAPE} and {_CLASSES} classes, but the model"
            f" takes {shape} and {classes} classes"
        )
    archive = "fashion-mnist" if name == "fashion-mnist" else "mnist"
    return Data(archive=archive, is_expanded=name == "mnist-expanded")


def assemble(workload: Workload, framework: str, name: str, *parts: str) -> str:
    """The whole script: docstring, then imports and constants, then definitions.

    Args:
        workload: the workload, for the docstring.
        framework: the framework as its authors write it: "PyTorch".
        name: its name after `--as`.
        parts: imports, constants (or ""), and the definitions in their order.
    """
    imports, constants, *definitions = parts
    head = [_docstring(workload, framework, name), imports.strip()]
    head += [constants.strip()] if constants else []
    blocks = ["\n\n".join(head), *(text.strip() for text in definitions if text)]
    return "\n\n\n".join(blocks) + "\n"


def _docstring(workload: Workload, framework: str, name: str) -> str:
    # A title may contain what ends a docstring.
    plain = "".join(sign if sign.isprintable() else " " for sign in workload.title)
    plain = " ".join(plain.replace("\\", "/").replace('"', "'").split())
    made = f"ade by `bench show {workload.name} --as {name}`."
    line = f'"""{plain}, in {framework}; m{made}"""'
    if len(line) <= LINE_LENGTH:
        return line
    title = textwrap.fill(f'"""{plain}, in {framework}.', LINE_LENGTH)
    return f'{title}\n\nM{made}\n"""'


def wrapped(head: str, items: Iterable[str], tail: str, indent: int = 0) -> str:
    """A call or a list as `ruff format` writes it.

    In one line; or, if that is too long, with the items in a line of their own; or, if that is too
    long, with a line per item.

    Args:
        head: the text up to the opening bracket, which is included.
        items: the texts between the commas.
        tail: the closing bracket and what follows it.
        indent: the number of spaces before the first line.
    """
    items, space = list(items), " " * indent
    joined = ", ".join(items)
    if len(line := f"{space}{head}{joined}{tail}") <= LINE_LENGTH:
        return line
    if len(inner := f"{space}    {joined}") <= LINE_LENGTH:
        return f"{space}{head}\n{inner}\n{space}{tail}"
    return listed(head, items, tail, indent)


def listed(head: str, items: Iterable[str], tail: str, indent: int = 0) -> str:
    """A call or a list with a line per item; see `wrapped` for the arguments."""
    space = " " * indent
    lines = "".join(f"{space}    {item},\n" for item in items)
    return f"{space}{head}\n{lines}{space}{tail}"


def comprehension(head: str, value: str, loop: str, tail: str, indent: int) -> str:
    """A comprehension as `ruff format` writes it; see `wrapped` for the arguments.

    Args:
        head: the text up to the opening bracket, which is included.
        value: the value of an element.
        loop: "for ... in ...".
        tail: the closing bracket.
        indent: the number of spaces before the first line.
    """
    space = " " * indent
    if len(line := f"{space}{head}{value} {loop}{tail}") <= LINE_LENGTH:
        return line
    inner = f"{space}    {value} {loop}"
    if len(inner) > LINE_LENGTH:
        inner = f"{space}    {value}\n{space}    {loop}"
    return f"{space}{head}\n{inner}\n{space}{tail}"


def number(value: float) -> str:
    """A number as a person writes it: "1e-7", not "1e-07"."""
    return re.sub(r"e-0(\d)$", r"e-\1", str(value))


def pair(size: tuple[int, int]) -> str:
    """The size of a window, or strides: "3", or "(3, 5)" if the two differ."""
    return str(size[0]) if size[0] == size[1] else str(size)


def padding_of(
    image: tuple[int, ...], size: tuple[int, int], strides: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zeros of padding "same": (above, below), (left, right)."""
    (above, below), (left, right) = (
        same_padding(*axis) for axis in zip(image[:2], size, strides, strict=True)
    )
    return (above, below), (left, right)


def settings_to_pass(spec: Optimizer, defaults: Iterable[Default]) -> Mapping[str, float | bool]:
    """The settings of an optimizer whose value is not the framework's default."""
    kind = str(spec.__struct_config__.tag)
    known = {row.setting: row.value for row in defaults}
    differing: dict[str, float | bool] = {}
    for name in spec.__struct_fields__:
        value = getattr(spec, name)
        if name == "epsilon_form":
            continue
        setting = f"{kind}'s {_SETTINGS.get(name)}"
        # The frameworks' AdamW has the other defaults of their Adam.
        same = setting.replace("adamw", "adam") if setting not in known else setting
        default = _BETAS[name] if name in _BETAS else known[same]
        if value != default:
            differing[name] = value
    return differing


def starts_flat(workload: Workload) -> bool:
    """Whether the first layer flattens the images, so that a script can load them as vectors."""
    return isinstance(workload.layers[0], Flatten)


def kinds(layers: Iterable[Layer]) -> set[str]:
    """The tags of the layers that occur: {"dense", "flatten"}."""
    return {str(layer.__struct_config__.tag) for layer in layers}
