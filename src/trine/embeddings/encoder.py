"""The model: an encoder, mean pooling, a linear head and vectors of length one.

While it is trained the head has full width (see `trine.embeddings.head`); `cut` gives the model of
any width, whose head has only the first rows. Every model here is a plain sentence-transformers
model made of that library's own modules.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from trine.core.errors import DataError, UsageError, one_line
from trine.core.seeding import Seeds
from trine.embeddings.bases import Base, check_folder, looks_like_name, resolve_base
from trine.embeddings.config import HeadConfig, ModelConfig
from trine.embeddings.frozen_layers import forget_frozen_layers, hush
from trine.embeddings.head import start_head
from trine.embeddings.head_texts import head_texts
from trine.embeddings.inference import Encoder, first_module
from trine.embeddings.quiet import quiet_libraries
from trine.embeddings.tasks import Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

__all__ = [
    "add_head",
    "average_with",
    "best_device",
    "check_name",
    "cut",
    "encoder_layers",
    "freeze",
    "head_of",
    "load_base",
    "load_model",
]

_LOG = logging.getLogger(__name__)

_HUB_SECONDS = 20.0


def best_device() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_base(
    config: ModelConfig, *, device: str | None = None
) -> tuple[SentenceTransformer, Base]:
    """The untouched encoder of a recipe, its vectors of length one at full width.

    Args:
      config: its base, prefix and limit count.
      device: of the model; None: see `best_device`.

    Raises:
      UsageError, DataError: see `resolve_base`; also a name that cannot be fetched.
    """
    from sentence_transformers.sentence_transformer.modules import Normalize

    base = resolve_base(config.base)
    model = load_model(base.place, device=device)
    if not any(isinstance(module, Normalize) for module in model):
        model.append(Normalize())
    prefix = config.prefix if config.prefix is not None else base.prefix
    if prefix:
        model.prompts = {**dict(model.prompts or {}), "text": prefix}
        model.default_prompt_name = "text"
    if config.max_tokens is not None:
        model.max_seq_length = config.max_tokens
    return model, base


def load_model(place: str | Path, *, device: str | None = None) -> SentenceTransformer:
    """A sentence-transformers model from a folder or by name.

    Args:
      place: the folder or the name.
      device: of the model; None: see `best_device`.

    Raises:
      DataError: a folder without a model, or one that cannot be read or fetched.
    """
    from sentence_transformers import SentenceTransformer

    folder = Path(place).expanduser()
    is_folder = folder.is_dir()
    if folder.exists() and not is_folder:
        raise DataError(f"{place} is a file", accepted="the folder of a model")
    if is_folder:
        check_folder(folder)
    if is_folder and not (folder / "modules.json").is_file():
        # sentence-transformers would take the bare encoder: another model, and no word of it.
        parts = ("config_sentence_transformers.json", "recipe.toml", "1_Pooling")
        if left := [name for name in parts if (folder / name).exists()]:
            raise DataError(
                f"{place} is damaged: it has {left[0]} and no modules.json",
                hint="copy the folder again, or train the model again",
            )
    if not is_folder and (isinstance(place, Path) or not _is_name(place)):
        raise DataError(
            f"no folder {place}", accepted="the folder of a model", hint="check the path"
        )
    source = str(folder if is_folder else place)
    offline = bool(os.environ.get("HF_HUB_OFFLINE"))
    if not is_folder and not offline:
        _LOG.warning("%s is no folder here; it is fetched from the hub if it is not cached", place)
        source = _on_hub_or_cached(source)
    try:
        with quiet_libraries():
            return SentenceTransformer(
                source,
                device=device or best_device(),
                local_files_only=offline or is_folder,
                model_kwargs={"use_safetensors": True},  # no pickle from outside
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if is_folder:
            hint = "check the folder, or train the model again"
        elif offline:
            raise DataError(
                f"{place} is no folder here, is not cached, and HF_HUB_OFFLINE forbids fetching it",
                hint="unset HF_HUB_OFFLINE, or give the folder of a model",
            ) from error
        else:
            hint = "check the name and the connection"
        raise DataError(f"cannot load the model {place}: {reason}", hint=hint) from error


def check_name(name: str) -> None:
    """Whether a name that is no folder can be loaded, without loading it.

    Raises:
      DataError: see `load_model`.
    """
    if not _is_name(name):
        raise DataError(
            f"no folder {name}", accepted="the folder of a model", hint="check the path"
        )
    if not os.environ.get("HF_HUB_OFFLINE"):
        _on_hub_or_cached(name)


def _is_name(place: str) -> bool:
    # With a folder of the first part it is a path that was mistyped.
    return looks_like_name(place) and not Path(place.partition("/")[0]).is_dir()


def _on_hub_or_cached(name: str) -> str:
    """Asks the hub once; the library would ask for each file, and wait between attempts.

    Returns:
      The name; if the hub does not answer, the folder of the model in the cache.

    Raises:
      DataError: the hub has no such model, or does not answer and it is not cached.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        HfApi().model_info(name, timeout=_HUB_SECONDS)
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise DataError(
            f"the hub has no model {name} that this user may see",
            accepted="a base, the folder of a model, or OWNER/NAME on the hub",
            hint="check the name",
        ) from error
    # Whatever stands between here and there: its client raises errors of many libraries.
    except Exception as error:
        for file in ("modules.json", "config.json"):  # some models have one of them
            if isinstance(kept := try_to_load_from_cache(name, file), str):
                _LOG.warning("the hub does not answer; %s is taken from the cache", name)
                return str(Path(kept).parent)
        reason = one_line(str(error))[:100] or type(error).__name__
        raise DataError(
            f"{name} is no folder here and not cached, and the hub does not answer ({reason})",
            hint="check the connection, or give the folder of a model",
        ) from error
    return name


def add_head(
    model: SentenceTransformer,
    tasks: Sequence[Task],
    config: HeadConfig,
    seeds: Seeds,
    widths: Sequence[int] = (),
) -> SentenceTransformer:
    """The model with a head of full width that starts as the recipe says; changes the model.

    Args:
      model: the base.
      tasks: the head starts from their training texts.
      config: how it starts.
      seeds: of the choice of texts, and of the start.
      widths: leading numbers that will be used; `fitted` fits these; empty: all numbers.

    Raises:
      UsageError: if there is no training text to start from.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import Normalize

    if config.refit:  # what is computed again after training need not cost more now
        config = config.model_copy(update={"fit_variants": 0})
    given = head_texts(tasks, config, seeds.generator("mixture"))
    if not given.texts:
        raise UsageError("no training text to start the head from", accepted="a task to train on")
    encoder = Encoder.of(model)
    vectors = given.vectors(lambda prefix, texts: encoder.with_prefix(prefix).encode(texts))
    weight, bias = start_head(
        vectors, given.labels, config, seeds.generator("head"), widths,
        groups=given.groups, pair_tasks=given.pair_tasks,
    )  # fmt: skip
    head = _dense(torch.from_numpy(weight), torch.from_numpy(bias))
    # The encoder's vectors are brought to length one before the head, as they were when it was
    # computed: the last module here is the base's own Normalize.
    model.append(head)
    model.append(Normalize())
    return model.to(model.device)


def _dense(weight: Tensor, bias: Tensor) -> Any:
    """A linear module of weights `[k, d]` and `[k]`."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    width, inputs = weight.shape
    with torch.random.fork_rng(devices=[]):  # the library draws weights first
        head = Dense(inputs, width, bias=True, activation_function=torch.nn.Identity())
    with torch.no_grad():
        head.linear.weight.copy_(weight)
        head.linear.bias.copy_(bias)
    return head


def head_of(model: SentenceTransformer) -> Any:
    """The head's Dense module; None if the model has none."""
    from sentence_transformers.sentence_transformer.modules import Dense

    heads = [module for module in model if isinstance(module, Dense)]
    return heads[-1] if heads else None


def cut(model: SentenceTransformer, width: int) -> SentenceTransformer:
    """A copy of the model whose head has the first `width` rows only.

    Raises:
      UsageError: if the model has no head or it is narrower.
    """
    from sentence_transformers.sentence_transformer.modules import Dense

    head = head_of(model)
    if head is None or not 1 <= width <= head.out_features:
        limit = head.out_features if head is not None else "a model with a head"
        raise UsageError(f"width {width}", accepted=f"1 to {limit}" if head is not None else limit)
    small = copy.deepcopy(model)
    forget_frozen_layers(small)
    for name, module in list(small._modules.items()):
        if isinstance(module, Dense) and module is head_of(small):
            new = _dense(head.linear.weight[:width], head.linear.bias[:width])
            small._modules[name] = new.to(model.device)
    return small


def encoder_layers(model: SentenceTransformer) -> Sequence[Any]:
    """The transformer's layers, lowest first.

    Raises:
      UsageError: if the encoder keeps its layers in a place that is not known here.
    """
    inner = first_module(model).auto_model
    for path in ("encoder.layer", "layers", "transformer.layer", "encoder.layers"):
        found: Any = inner
        for name in path.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return list(found)
    raise UsageError(
        f"the layers of {type(inner).__name__} are not known",
        hint="set model.freeze_layers = 0 and model.lora_rank = 0",
    )


def freeze(model: SentenceTransformer, config: ModelConfig) -> int:
    """Stops the gradients of what the recipe freezes; returns the number of trained parameters.

    Raises:
      UsageError: more layers than the encoder has.
    """
    inner = first_module(model).auto_model
    if config.freeze_vocabulary or config.freeze_layers:
        for parameter in inner.get_input_embeddings().parameters():
            parameter.requires_grad_(False)
    if config.freeze_layers:
        layers = encoder_layers(model)
        if config.freeze_layers > len(layers):
            raise UsageError(
                f"model.freeze_layers = {config.freeze_layers}", accepted=f"0 to {len(layers)}"
            )
        embeddings = getattr(inner, "embeddings", None)
        for module in [
            *([embeddings] if embeddings is not None else []),
            *layers[: config.freeze_layers],
        ]:
            for parameter in module.parameters():
                parameter.requires_grad_(False)
            hush([module])
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def average_with(model: SentenceTransformer, start: dict[str, Any], weight: float) -> None:
    """Sets the encoder to `weight` of itself and the rest of where it started; heads stay.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (weight-space
    ensembles), Section 3.

    Args:
      model: trained, adapters merged; changed.
      start: state of the transformer before training, by name.
      weight: 0 to 1 of the trained one.
    """
    import torch

    with torch.no_grad():
        for name, value in first_module(model).auto_model.state_dict().items():
            if not value.is_floating_point():
                continue
            old = start[name].to(value.device)
            if not value.equal(old):  # what is frozen stays so, to the last bit
                value.mul_(weight).add_(old, alpha=1 - weight)
