"""One model on benchmarks."""
