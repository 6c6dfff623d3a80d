"""The effect in small: a blind test between two lists, and a network that reads digits."""
