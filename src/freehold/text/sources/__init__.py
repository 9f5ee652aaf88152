"""Where tokenizers come from: one module per kind of file, each ending in a `Tokenizer`."""
