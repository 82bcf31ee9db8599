"""What a trace becomes for other tools."""
