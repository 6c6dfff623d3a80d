"""What made the files under data/: run by hand, after what they rest on has changed."""
