"""Writes the golden files of torch and safetensors, and shows torch the file that exprd writes.

Needs torch and safetensors, which nothing else here does, so it runs where they are installed:

    PYTHONPATH=client:compiler:proto python tools/torch_files.py
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from exprd.formats import load_torch

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "torch"
DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16"),
    *("float32", "float64", "complex64", "complex128", "uint16", "uint32", "uint64"),
)


def perceptron(torch: Any) -> Any:
    """A small perceptron whose parameters are eighths: every float has them exactly."""
    net = torch.nn.Sequential()
    net.add_module("hidden", torch.nn.Linear(3, 4))
    net.add_module("output", torch.nn.Linear(4, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 8 - 0.5)
    return net


def tensors(torch: Any) -> dict[str, Any]:
    """Tensors of every kind that has an array."""
    base = torch.arange(12.0)
    return {
        **{name: torch.tensor([0, 1, 1]).to(getattr(torch, name)) for name in DTYPES},
        "base": base,
        "part": base[2:8].reshape(2, 3).T,
        "expanded": base[3:4].expand(2, 5),
        "scalar": torch.tensor(5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[:2].clone()),
        "conjugate": torch.tensor([1 + 2j, 3 - 4j]).conj(),
        "negative": torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
        "plain": [1, -(2**40), 2.5, None, True, "text \u00e9", ("a", 2), torch.Size([1, 2])],
    }


def refused(torch: Any) -> dict[str, Any]:
    """What is more than tensors and data, or of a dtype that numpy lacks, by file name."""
    return {
        "module": torch.nn.Linear(1, 1),
        "float8": torch.ones(2).to(torch.float8_e4m3fn),
        "sparse": torch.eye(2).to_sparse(),
        "numpy": np.ones(2),
        "dtype": {"kind": torch.float32},
    }


def write(torch: Any, safetensors: Any) -> None:
    """The files as the other libraries write them."""
    old = {"_use_new_zipfile_serialization": False}
    torch.save(perceptron(torch).state_dict(), FOLDER / "mlp.pt")
    torch.save(perceptron(torch).state_dict(), FOLDER / "mlp-old.pt", **old)
    torch.save(tensors(torch), FOLDER / "tensors.pt")
    torch.save(tensors(torch), FOLDER / "tensors-old.pt", **old)
    torch.save(tensors(torch), FOLDER / "tensors-protocol5.pt", pickle_protocol=5)
    for name, value in refused(torch).items():
        torch.save(value, FOLDER / f"refused-{name}.pt")
    plain = {name: tensors(torch)[name] for name in (*DTYPES, "scalar", "empty")}
    del plain["complex128"]
    safetensors.save_file(plain, FOLDER / "tensors.safetensors", {"made": "by safetensors"})


def check(torch: Any) -> None:
    """Whether torch reads `written.pt`, which tests/client/formats wrote, as exprd does."""
    theirs = torch.load(FOLDER / "written.pt", weights_only=True)
    ours = load_torch(FOLDER / "written.pt")
    assert list(theirs) == list(ours)
    for name in DTYPES:
        assert theirs[name].dtype == getattr(torch, name), name
        assert theirs[name].tolist() == ours[name].tolist(), name
    assert theirs["again"].data_ptr() == theirs["float32"].data_ptr()
    assert theirs["plain"] == ours["plain"]
    assert theirs["empty"].shape == (0, 3)
    assert theirs["turned"].tolist() == ours["turned"].tolist()


def main() -> None:
    """Writes and checks."""
    torch = importlib.import_module("torch")  # by name: no dependency of this project
    FOLDER.mkdir(exist_ok=True)
    write(torch, importlib.import_module("safetensors.torch"))
    if (FOLDER / "written.pt").exists():
        check(torch)
        print("torch reads written.pt")
    print(*sorted(path.name for path in FOLDER.iterdir()), sep="\n")


if __name__ == "__main__":
    main()
