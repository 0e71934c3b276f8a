"""`trine embeddings`: one embedding model from many labelling tasks; groups are modules."""

import typer

from trine.cli import embeddings_evaluate, embeddings_train, embeddings_use

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
embeddings_train.register(app)
embeddings_evaluate.register(app)
embeddings_use.register(app)


@app.callback()
def embeddings() -> None:
    """Text embeddings: one small-vector model from many semantic labelling tasks."""
