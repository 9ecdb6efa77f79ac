"""The compute unit: folds a process's schedule into results, and signs what it found."""
