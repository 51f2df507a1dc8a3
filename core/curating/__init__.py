"""What is wrong with a person's data is found before it costs a run. Only `features` and what stands on it need torch.

`looking` looks at each picture once and keeps what it saw by the picture's content (`kept`), so a new version asks only for what is new.
`alike` finds pictures that look the same, `duplicates` says what is wrong with them (in two splits, with two labels), `mending` what can be
done, `statistics` counts, and `checking` puts it together. `features` are what a model's frozen part makes of the pictures, also kept by
content; `layout` makes a map of them, `doubts` finds labels that a head on them would not give (3-fold cross-validation, cleanlab), and
`judged` remembers what a person said of these. `desk` is the server's end of it all, `helper` the process.

The perceptual hash alone would not do: within 10 of 64 bits it takes 3,475 pairs of the 1,797 handwritten digits of scikit-learn for one
picture, with the thumbs compared as well (`alike.ALIKE`) it is 26 groups. Of 60 photos each that were saved as JPEG of quality 30, scaled to a half,
blurred or made lighter by 20 % all but one or two are found; cut by 2 % at each side 50; mirrored, or cut by 5 %, hardly any.
"""
