"""What the benchmarks share: model files, processes that measure, figures, and the peer's environment."""
