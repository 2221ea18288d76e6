"""The page, built with Gradio around the engine."""

from pathlib import Path

from engine import text

# What the page says has English for logs and programs, too, wherever ``str`` makes words of it.
text.FOLDERS.append(Path(__file__).parent / "texts")
