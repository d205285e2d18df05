"""From team CSVs to a leaderboard."""
