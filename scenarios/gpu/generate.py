#!/usr/bin/env python3
"""A small random transformers model: prefill of 512 tokens and 256 decode steps; then calls that must fail."""

import ctypes
import os
import struct
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

STEPS = int(os.environ.get("STEPS", "256"))
TOO_MUCH = 10 << 40

torch.manual_seed(0)
config = LlamaConfig(vocab_size=8192, hidden_size=512, intermediate_size=1024, num_hidden_layers=8,
                     num_attention_heads=8, num_key_value_heads=8)
model = LlamaForCausalLM(config).to("cuda", torch.bfloat16).eval()
prompt = torch.randint(0, config.vocab_size, (1, 512), device="cuda")
begun = time.monotonic()
with torch.no_grad():
    tokens = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=STEPS, min_new_tokens=STEPS,
                            do_sample=False, pad_token_id=0, eos_token_id=None)
torch.cuda.synchronize()
print(f"{tokens.shape[1] - prompt.shape[1]} tokens in {time.monotonic() - begun:.2f} s")

cuda = ctypes.CDLL("libcuda.so.1")
pointer = ctypes.c_uint64()
# The library may refuse what no card could hold without asking the driver: so what is free is taken, and then more.
error = cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(TOO_MUCH))
print(f"cuMemAlloc of 10 TiB: CUresult {error}")
free, total = torch.cuda.mem_get_info()
kept = []
for part in (free - (1 << 30), 2 << 30, total // 2):
    error = cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(part))
    print(f"cuMemAlloc of {part >> 20} MiB: CUresult {error}")
    if error == 0:
        kept.append(pointer.value)
for address in kept:
    cuda.cuMemFree_v2(ctypes.c_uint64(address))

# The driver itself, asked by a client that it has never seen: the call returns 0, its structure has the error.
control = bytearray(struct.pack("<IIIIQII", 0xDEAD0001, 0xDEAD0001, 0x101, 0, 0, 0, 0))
with open("/dev/nvidiactl", "rb", buffering=0) as device:
    returned = ctypes.CDLL(None).ioctl(device.fileno(), ctypes.c_ulong(0xC020462A),
                                       (ctypes.c_char * 32).from_buffer(control))
print(f"a control of no client: ioctl returned {returned}, status {struct.unpack_from('<I', control, 28)[0]:#x}")
