#!/usr/bin/env python3
"""Trains a Llama on text: an ordinary PyTorch script, in which the device is a name.

python examples/train_llama.py --device mtia_sim --model tiny --steps 300 --out runs/tiny
torchrun --nproc-per-node=4 examples/train_llama.py --parallel fsdp+tp --model tiny --steps 300 --out runs/tiny
"""

import os
import sys

from llama.errors import UserError
from llama.options import parse_options


def main() -> int:
    speaks = os.environ.get("RANK", "0") == "0"
    try:
        options = parse_options()
        if options.chip is not None:
            # Both are read when the device initialises, so set before anything imports torch.
            os.environ[f"{options.device.split(':')[0].upper()}_CHIP"] = options.chip
        if options.is_timed_only:
            os.environ[f"{options.device.split(':')[0].upper()}_MODE"] = options.mode
        from llama.training import train

        train(options)
    except UserError as error:
        if speaks:
            print(f"train_llama.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if speaks:
            print("\ntrain_llama.py: stopped; go on with the same options and --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
