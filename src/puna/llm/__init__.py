"""Language models: GGUF files, tokenizer, canonical arithmetic, the inference engine and its client."""
