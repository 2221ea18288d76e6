"""The process that owns the pipeline, and what keeps it at the queue."""
