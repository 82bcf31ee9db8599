"""Two small drivers of the card: what docs/first_driver.md and docs/first_c_driver.md arrive at."""
