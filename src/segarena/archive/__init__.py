"""archive: a finished run as one file that anyone can check, look into, compare and repeat."""
