"""The engine: everything that makes a clip. It never imports gradio."""

VERSION = "0.1.0"
