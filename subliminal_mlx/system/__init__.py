"""What any program needs: errors, files, locks, processes, the machine. Knows no model."""
