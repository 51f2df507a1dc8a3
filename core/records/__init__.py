"""What page and worker share: plain data, and the sentences made of it. No torch, no store.

`events` is what a worker reports and can be told, `findings` what the doctor knows, `layers` a model's layers and which of them a plan
freezes, `summaries` steps seen from afar; `cost`, `speed`, `evaluation` and `walkthrough` are what the other questions give. `telling` puts
the engine into words, for screen and terminal.
"""
