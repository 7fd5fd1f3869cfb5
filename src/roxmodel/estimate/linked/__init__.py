"""Method "linked": surveys of different people joined by their unit, sampling error of unit means included."""
