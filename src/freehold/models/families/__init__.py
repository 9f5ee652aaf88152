"""One file per family: configuration, weight map, composition of blocks."""
