"""One file per engine, all behind the same interface."""
