"""Tasks: one text-embedding model from many semantic labelling tasks (arXiv 2405.11344).

Map of the room:

    config         the recipe: tasks, model, head, training
    tasks          a task in memory; a score
"""
