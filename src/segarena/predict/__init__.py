"""Run a submission on one interaction, safely."""
