"""Help with prompts: ideas, a language model's rewriting, and batches."""
