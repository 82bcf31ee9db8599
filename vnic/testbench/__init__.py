"""What tests are made of: a driver of registers alone, and the bench that wires everything together."""
