"""What if: interventions over time, in points and in money."""
