"""What stages used of the machine and what it cost: sums, attempts, and what changed within a week."""
