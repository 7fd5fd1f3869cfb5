"""Method "linked": surveys of different people joined by their unit, the sampling error of unit means in the likelihood."""
