"""How a model is run on this machine; every choice keeps its reason."""
