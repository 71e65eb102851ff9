"""Pages and plots: each page is one file that asks nothing of any network."""
