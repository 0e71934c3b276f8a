"""Measures of teacher and student, one a file; `base` says what a measure is."""
