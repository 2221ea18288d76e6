"""wan-tiny: the world of coloured moving shapes, its model, its trainer and its judge."""
