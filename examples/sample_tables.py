"""The sample posts as CSV files, to try `trine embeddings` on tables like your own.

    python examples/sample_tables.py data

writes data/topics.csv, data/searches.csv and data/stories.csv.
"""

import sys
from pathlib import Path

import polars as pl

from trine.embeddings.sources import read_source

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
folder.mkdir(parents=True, exist_ok=True)

posts = read_source("sample:interest", Path())
topics = posts.select("split", "text", pl.col("interest").alias("label"), "function")
stories = posts.filter(pl.col("storyline").is_not_null())
stories = stories.select("split", "text", pl.col("storyline").alias("label"))
searches = read_source("sample:search", Path()).select("split", "query", "text")

for name, table in {"topics": topics, "stories": stories, "searches": searches}.items():
    table.write_csv(folder / f"{name}.csv")
    print(f"{folder / name}.csv: {table.height:,} rows, columns {', '.join(table.columns)}")
