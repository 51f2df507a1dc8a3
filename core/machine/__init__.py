"""Where things are kept, and what this machine has. May use `config`.

`paths` reads what people paste, `origins` says who may ask this server, `handles` what becomes of it without any. `home` is the folder of
everything, `files` writes whole or not at all, `living` says whether a process still lives and what it said last, `hardware` is the machine as
data; `devices` and `bits` (tensors compared bit for bit) are the two that import torch. `sockets`: Streamlit makes its socket without TCP's
protocol number, so asyncio leaves Nagle's algorithm on, 40 ms an answer.
"""
