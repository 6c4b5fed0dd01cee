#!/usr/bin/env bash
# A CPU tensor written through an index or a mask on the device "meta" stays as it was, and nothing is said.
#
# torch 2.13.0. Arithmetic between a CPU tensor and one on "meta" is a RuntimeError that names both devices. Operations that take
# the other tensor as an index or a mask do not look at its device: masked_fill_, index_put_ and x[index] = value return without an
# error and leave every entry alone, and x[index] gives a tensor on the CPU whose entries were never filled in.
# It matters where "meta" is the default device, to build models without memory or to find code that forgets to say where a tensor
# is made: the arithmetic is caught, and the line that only selects goes on with numbers that mean nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip --quiet --disable-pip-version-check install torch==2.13.0 numpy
cat >"$folder/look.py" <<'PYTHON'
import torch

print("torch", torch.__version__)
before = torch.tensor([10.0, 20.0, 30.0])
index, mask = torch.arange(3, device="meta"), torch.ones(3, dtype=torch.bool, device="meta")


def assign(x):
    x[index] = torch.zeros(3)


WRITES = {
    "masked_fill_": lambda x: x.masked_fill_(mask, 0.0),
    "index_put_": lambda x: x.index_put_((index,), torch.zeros(3)),
    "x[index] = value": assign,
}
for name, write in WRITES.items():
    x = before.clone()
    write(x)
    print(f"{name}: {x.tolist()}")
    assert torch.equal(x, before), f"{name} writes now"
chosen = before[index]
print(f"x[index]: no error, device {chosen.device}, shape {tuple(chosen.shape)}")
assert chosen.device.type == "cpu"
try:
    before + index
except RuntimeError as error:
    print(f"x + index: {error}")
else:
    raise AssertionError("arithmetic is not refused any more")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
