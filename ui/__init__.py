"""The page, built with Gradio around the engine."""
