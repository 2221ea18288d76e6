"""LightX2V, driven as it is: loading, offload, repairs, decoding, and proof of each."""
