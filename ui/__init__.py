"""The page. It imports gradio, never torch: it starts at once and outlives the engine's faults."""
