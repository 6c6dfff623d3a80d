"""Rows in, estimates out: teachers, students, readouts, transfer. Knows no lab."""
