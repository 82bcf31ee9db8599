"""NetDMA: the interface between the clients of copy engines and their drivers, and the driver of ours."""
