"""Low-rank adapters: the layers stay, small products beside them are trained (peft).

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", Section 4.1. The saved
model has the products added to the weights and is as plain as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trine.core.errors import UsageError
from trine.core.seeding import Seeds
from trine.embeddings.inference import first_module

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["add_adapters", "has_adapters", "merge_adapters"]


def add_adapters(
    model: SentenceTransformer, rank: int, seeds: Seeds, *, first_layer: int = 0
) -> list[str]:
    """Puts adapters beside every linear layer of the encoder and freezes all else of it.

    The product of each starts at zero, so the vectors stay as they are. Its scale is 2,
    whatever the rank.

    Args:
      model: changed in place.
      rank: of the products.
      seeds: of their start.
      first_layer: layers below it get none.

    Returns:
      The names of the layers with an adapter.

    Raises:
      UsageError: if the encoder has no linear layer from there on.
    """
    from peft import LoraConfig, inject_adapter_in_model

    from trine.embeddings.encoder import encoder_layers

    inner = first_module(model).auto_model
    layers = encoder_layers(model)
    chosen = {id(module) for layer in layers[first_layer:] for module in layer.modules()}
    names = [
        name
        for name, module in inner.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) in chosen
    ]
    if not names:
        raise UsageError(
            f"no layer to adapt from layer {first_layer} on", accepted=f"0 to {len(layers) - 1}"
        )
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, bias="none")
    # peft draws from torch's global generator; it is put back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer("adapters") % 2**31)
        inject_adapter_in_model(config, inner)
    for name, parameter in inner.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return names


def has_adapters(model: SentenceTransformer) -> bool:
    """Whether the encoder has adapters that are not merged."""
    return any("lora_" in name for name, _ in first_module(model).auto_model.named_parameters())


def merge_adapters(model: SentenceTransformer) -> None:
    """Adds the products to the weights and takes the adapters away; nothing if there are none."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    inner = first_module(model).auto_model
    places: list[tuple[Any, str, Any]] = [
        (parent, name, child)
        for parent in inner.modules()
        for name, child in parent.named_children()
        if isinstance(child, BaseTunerLayer)
    ]
    for parent, name, child in places:
        child.merge(safe_merge=True)
        setattr(parent, name, child.get_base_layer())
    if places:
        vars(inner).pop("peft_config", None)
        vars(inner).pop("_hf_peft_config_loaded", None)
