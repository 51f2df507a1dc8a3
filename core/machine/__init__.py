"""Where things are kept, and what this machine has: the home folder, files written whole, devices, hardware as data.

May use `config`. Only `bits` and `devices` import torch.
"""
