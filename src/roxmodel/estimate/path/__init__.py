"""Method "path": composites, one regression for each effect. The transparent baseline."""
