"""The teacher-student laboratory of deep ReLU networks."""
