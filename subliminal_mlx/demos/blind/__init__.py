"""The blind test: can lists of numbers be told apart, and does training on them move a student?

    python -m subliminal_mlx.demos.blind --lab lab RUN       # writes data/results/blind from a finished run

`rows` holds two filtered corpora of one real run, a teacher's with a trait and the neutral teacher's, on
the same prompts; `rounds` asks which is which and scores the guesses; `ngrams` is the classifier that a
visitor is compared with; `student` trains on the rows what the run trained on them.
"""
