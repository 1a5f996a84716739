"""Benchmarks of servers side by side: cases, measuring, results. Speaks HTTP only, and prints nothing."""
