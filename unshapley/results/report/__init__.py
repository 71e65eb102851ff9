"""Pages and plots: each page is one file that needs neither network nor scripts."""
