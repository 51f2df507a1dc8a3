"""A checkpoint put to the test: evaluated, its answers kept, measured, mapped and looked into.

The server asks at the `desk`, two processes answer (`helper`). Importing the room imports no torch; `evaluate`, `embedding` and `grad_cam` do.
"""
