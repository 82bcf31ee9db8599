"""Two small drivers of the card, in Python and in C: what docs/first_driver.md arrives at."""
