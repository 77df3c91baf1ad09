"""What services tell each other; clients never see it."""
