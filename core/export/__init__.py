"""What leaves Thaw: weights for other tools, the run as a script, its numbers, a report; and the proof that it gives the same answers.

`formats` lists what there is (no torch), each entry naming the module that writes it; `export` writes one, whole or not at all; `receipt` has the
exported model answer in a process and runtime of its own (`runner`) beside the original. The server asks at the `desk`, which a process answers
(`helper`). Importing the room imports no torch; the modules that write weights do.
"""
