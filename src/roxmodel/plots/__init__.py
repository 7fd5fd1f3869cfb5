"""Draw what other rooms extracted: a leaf that knows neither model nor fit."""
