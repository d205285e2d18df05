"""From NIfTI or ready-made .npz to a case: image and truth apart."""
