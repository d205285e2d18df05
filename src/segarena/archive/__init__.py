"""The bundle that anyone can verify."""
