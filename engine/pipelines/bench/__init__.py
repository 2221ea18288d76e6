"""What a loaded pipeline is held against: the card's own rates, and LightX2V by itself."""
