"""Evaluation of embedding models on the tasks of a recipe.

suite          which measures fit a task; all tasks, languages and widths to one list of scores
mteb_tasks     MTEB's protocols on local rows
labels         triplets of the paper, recall of labels
vectors        each text encoded once, cut to any width
"""

from trine.embeddings.evaluation.suite import evaluate_model, evaluate_vectors

__all__ = ["evaluate_model", "evaluate_vectors"]
