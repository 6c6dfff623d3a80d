"""Defences, one module each, found by being in this folder: see the README beside it."""
