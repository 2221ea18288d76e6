"""LoRAs: what a file changes of which model, and the folder that they are kept in. No torch."""
