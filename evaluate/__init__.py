"""Arms, statistics, costs and the ROI report."""
