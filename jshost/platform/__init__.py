"""What a system offers beyond the standard, one trick a module. Runs in: every process."""
