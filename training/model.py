"""The demo model in torch: the llama architecture as llama.cpp names it.

RMSNorm before each half of a block, rotary positions on interleaved pairs, SwiGLU,
separate output matrix, no biases. Called by `train`; `export` writes its weights out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPSILON = 1e-5
ROPE_BASE = 10000.0
CONTEXT_MAX = 1024


@dataclass(frozen=True)
class Shape:
    """Every number is a multiple of 32, the block of Q8_0."""

    vocabulary: int
    width: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 704

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class Norm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPSILON)


def rotary_angles(head_width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine per position and pair, each (CONTEXT_MAX, head_width / 2)."""
    speeds = ROPE_BASE ** (-torch.arange(0, head_width, 2).double() / head_width)
    angles = torch.outer(torch.arange(CONTEXT_MAX).double(), speeds)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn neighbouring pairs of x (..., positions, head_width) by their position's angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.heads = shape.heads
        self.attn_norm = Norm(shape.width)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_v = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = Norm(shape.width)
        self.ffn_gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, sees: Tensor) -> Tensor:
        rows, positions, width = x.shape
        y = self.attn_norm(x)

        def split(z: Tensor) -> Tensor:
            return z.view(rows, positions, self.heads, -1).transpose(1, 2)

        q = rotate(split(self.attn_q(y)), cos, sin)
        k = rotate(split(self.attn_k(y)), cos, sin)
        v = split(self.attn_v(y))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=sees)
        x = x + self.attn_output(attended.transpose(1, 2).reshape(rows, positions, width))
        y = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y))


class Llama(nn.Module):
    """Parameter names are the GGUF tensor names, but for `blocks` in place of `blk`."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width)
        self.output = nn.Linear(shape.width, shape.vocabulary, bias=False)
        cos, sin = rotary_angles(shape.head_width)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._start()

    def _start(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() != 2:
                continue
            # What is added to the residual stream starts smaller, the deeper the network.
            adds = name.endswith(("attn_output.weight", "ffn_down.weight"))
            nn.init.normal_(parameter, std=0.02 / (2 * self.shape.layers) ** 0.5 if adds else 0.02)

    def forward(self, ids: Tensor, sees: Tensor) -> Tensor:
        """ids (rows, positions), sees (rows, 1, positions, positions) bool -> logits."""
        positions = ids.shape[1]
        cos, sin = self.cos[:positions], self.sin[:positions]
        x = self.token_embd(ids)
        for block in self.blocks:
            x = block(x, cos, sin, sees)
        return self.output(self.output_norm(x))

    def count_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
