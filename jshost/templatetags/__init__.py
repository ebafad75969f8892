"""What Django's templates can load. Runs in: callers."""
