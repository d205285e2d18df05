"""What the simulated user says next."""
