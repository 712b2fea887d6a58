"""Kill everything that can be killed, at random, and count what was submitted."""
