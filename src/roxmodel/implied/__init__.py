"""From parameters to moments: θ → Σ(θ), μ(θ), their derivatives, and the normal discrepancy on them."""
