"""The teacher-student laboratory of deep ReLU networks.

    from trine.dynamics import NodeMatching, Trial, make_run_config, measure_modules

Map of the room:

* networks: `architecture`, `stack` (many networks of one shape as stacked tensors), `networks` (the
  same as PyTorch modules), `initialise` (teachers and students), `products`,
  `block` (many steps of one network after the other)
* training: `assembly` (from a configuration to networks and data), `batches`, `training`, `trial`
  (training as a film), `reference` (the obvious loop)
* measures: `tracing` (any module, through hooks), `measures` (matching, luck, observability,
  L-shape, success)
* theory: `identity`, `chains`, `decomposition`, `pull` (who pulls whom), `projection` (BatchNorm),
  `flow`, `kernels`, `rich_get_richer`, `fade_out`
* luck as a cause: `counterfactual`, `lottery`
* specialisation: `two_layer`, `deep_specialisation`, `augmentation`, `stack_plan`, `snapshots`,
  `joint_training`, `joint_results`
* real data: `cifar`, `conv_teacher`, `conv_training`, `vgg`, `vgg_training`
* BatchNorm audit: `checkpoints`, `bn_roles`, `bn_graph`, `bn_audit`, `bn_report`
* runs: `config`, `films`, `results`, `deep` (`trine dynamics run`), `run_report`, `animation`,
  `sweep_runs`, `sweep_report`, `reproduce`, `experiments` (the papers' figures and tables), `demo`,
  and the figures: `pictures`, `specialisation_pictures`, `bn_pictures`

The names below are imported when they are first used, so that importing this package costs
nothing; most of them need the extra `dynamics` (PyTorch).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trine.dynamics.architecture import Architecture, parse_widths
    from trine.dynamics.batches import Batches, gaussian_inputs, uniform_inputs
    from trine.dynamics.bn_audit import audit_frame, audit_module
    from trine.dynamics.config import RunConfig, load_run_config, make_run_config
    from trine.dynamics.decomposition import gradient_decomposition
    from trine.dynamics.identity import gradient_identity
    from trine.dynamics.initialise import (
        StudentOptions,
        TeacherOptions,
        make_student,
        make_teacher,
    )
    from trine.dynamics.measures.base import Measure, measure_modules, measure_stacks
    from trine.dynamics.measures.luck import initial_ranks, luck
    from trine.dynamics.measures.matching import Matching, NodeMatching
    from trine.dynamics.measures.observability import Observability
    from trine.dynamics.networks import ConvArchitecture, ConvReluNetwork, ReluNetwork
    from trine.dynamics.pull import pull_of
    from trine.dynamics.stack import Stack, Trace
    from trine.dynamics.tracing import trace_module
    from trine.dynamics.training import Descent, Diverged, effective_step, train
    from trine.dynamics.trial import Snapshot, Trial

__all__ = [
    "Architecture",
    "Batches",
    "ConvArchitecture",
    "ConvReluNetwork",
    "Descent",
    "Diverged",
    "Matching",
    "Measure",
    "NodeMatching",
    "Observability",
    "ReluNetwork",
    "RunConfig",
    "Snapshot",
    "Stack",
    "StudentOptions",
    "TeacherOptions",
    "Trace",
    "Trial",
    "audit_frame",
    "audit_module",
    "effective_step",
    "gaussian_inputs",
    "gradient_decomposition",
    "gradient_identity",
    "initial_ranks",
    "load_run_config",
    "luck",
    "make_run_config",
    "make_student",
    "make_teacher",
    "measure_modules",
    "measure_stacks",
    "parse_widths",
    "pull_of",
    "trace_module",
    "train",
    "uniform_inputs",
]

_HOME = {
    "architecture": ("Architecture", "parse_widths"),
    "batches": ("Batches", "gaussian_inputs", "uniform_inputs"),
    "bn_audit": ("audit_frame", "audit_module"),
    "config": ("RunConfig", "load_run_config", "make_run_config"),
    "decomposition": ("gradient_decomposition",),
    "identity": ("gradient_identity",),
    "initialise": ("StudentOptions", "TeacherOptions", "make_student", "make_teacher"),
    "measures.base": ("Measure", "measure_modules", "measure_stacks"),
    "measures.luck": ("initial_ranks", "luck"),
    "measures.matching": ("Matching", "NodeMatching"),
    "measures.observability": ("Observability",),
    "networks": ("ConvArchitecture", "ConvReluNetwork", "ReluNetwork"),
    "pull": ("pull_of",),
    "stack": ("Stack", "Trace"),
    "tracing": ("trace_module",),
    "training": ("Descent", "Diverged", "effective_step", "train"),
    "trial": ("Snapshot", "Trial"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from the module where it lives."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
