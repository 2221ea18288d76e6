"""RIFE 4.26: a small network that makes frames between two, on the GPU.

The network is LightX2V's (lightx2v/models/vfi/rife; hzwer's, MIT), its file Comfy-Org's. LightX2V's
own wrapper unpickles the weights and holds a whole clip as float32, several times over; so
``between.Rife`` walks through the clip pair by pair, as every ``Interpolator`` does, and each pair
gets the same arithmetic (tests/contract/rife_cases.py).
"""
