"""Many runs of one question: what varies, which settings come next, and what came out. The runs themselves are the queue's.

`vary` reads what a person lets vary, `plan` puts it together with the settings that stay (`Plan`, JSON in and out), and `drawing` makes runs
of it: a grid, draws by chance, or what Optuna asks for (`engine`; told all that lies in the store each time, so that nothing else has to be
kept and any process may ask). `moving` begins, stops, resumes and adds to a sweep; `outcome` tells how far it is and what is best.
`depths` is the sweep that a click on the Model screen begins: which layers should I unfreeze?

No torch here: pages ask this room, and so does a worker that takes the next run of its sweep in turn (`core.worker.in_turn`).
"""
